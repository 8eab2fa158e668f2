/* Template: moments of floats, in double precision.
 *
 * The includer defines T and NAME(x).  A block that fits the first-level cache is summed
 * about a pivot close to its mean, in one pass; in another one if the pivot was bad, so
 * that no more than a digit cancels, and another one if there is NaN.  Blocks combine by
 * the formula of Chan, Golub and LeVeque.  Columns are as in the template for integers.
 */

#define STRIP 8
#define COLUMNS 24
#define BLOCK_ROWS (24 * 1024 / COLUMNS / (int)sizeof(T))


CLONES static void NAME(plain)(const T *x, int rows, const double *pivot, double *sums,
                               double *squares, double *lows, double *highs)
{
    double sum[STRIP], square[STRIP], shift[STRIP], low[STRIP], high[STRIP];
    for (int j = 0; j < STRIP; j++) {
        sum[j] = square[j] = 0.0;
        shift[j] = pivot[j];
        low[j] = INFINITY;
        high[j] = -INFINITY;
    }
    for (int r = 0; r < rows; r++, x += COLUMNS) {
#pragma omp simd
        for (int j = 0; j < STRIP; j++) {
            double v = (double)x[j], d = v - shift[j];
            sum[j] += d;
            square[j] += d * d;
            low[j] = v < low[j] ? v : low[j];
            high[j] = v > high[j] ? v : high[j];
        }
    }
    for (int j = 0; j < STRIP; j++) {
        sums[j] = sum[j];
        squares[j] = square[j];
        lows[j] = low[j];
        highs[j] = high[j];
    }
}

/* Like plain, past NaN. */
CLONES static void NAME(masked)(const T *x, int rows, const double *pivot, double *sums,
                                double *squares, double *counts)
{
    double sum[STRIP], square[STRIP], count[STRIP], shift[STRIP];
    for (int j = 0; j < STRIP; j++) {
        sum[j] = square[j] = count[j] = 0.0;
        shift[j] = pivot[j];
    }
    for (int r = 0; r < rows; r++, x += COLUMNS) {
#pragma omp simd
        for (int j = 0; j < STRIP; j++) {
            double v = (double)x[j], d = v - shift[j];
            d = v == v ? d : 0.0;
            count[j] += v == v ? 1.0 : 0.0;
            sum[j] += d;
            square[j] += d * d;
        }
    }
    for (int j = 0; j < STRIP; j++) {
        sums[j] = sum[j];
        squares[j] = square[j];
        counts[j] = count[j];
    }
}

/* One pass over a block; gives what it found for each channel. */
static void NAME(pass)(Part *part, const Float *state, int channels, const T *x, size_t size,
                       int holes)
{
    double pivot[COLUMNS], sum[COLUMNS], square[COLUMNS], count[COLUMNS];
    double low[COLUMNS], high[COLUMNS];
    int rows = (int)(size / COLUMNS), c = 0;
    for (int i = 0; i < channels; i++) {
        part[i].n = holes ? 0 : (int64_t)(size / (size_t)channels);
        part[i].sum = part[i].square = 0.0;
        if (!holes) {
            part[i].low = INFINITY;
            part[i].high = -INFINITY;
        }
    }
    if (rows) {
        for (int j = 0; j < COLUMNS; j++) {
            pivot[j] = state[c].pivot;
            c = c + 1 == channels ? 0 : c + 1;
        }
        for (int j = 0; j < COLUMNS; j += STRIP) {
            if (holes)
                NAME(masked)(x + j, rows, pivot + j, sum + j, square + j, count + j);
            else
                NAME(plain)(x + j, rows, pivot + j, sum + j, square + j, low + j, high + j);
        }
        c = 0;
        for (int j = 0; j < COLUMNS; j++) {
            Part *p = part + c;
            p->sum += sum[j];
            p->square += square[j];
            if (holes) {
                p->n += (int64_t)count[j];
            } else {
                p->low = low[j] < p->low ? low[j] : p->low;
                p->high = high[j] > p->high ? high[j] : p->high;
            }
            c = c + 1 == channels ? 0 : c + 1;
        }
    }
    c = 0;
    for (size_t i = (size_t)rows * COLUMNS; i < size; i++) {
        Part *p = part + c;
        double v = (double)x[i], d = v - state[c].pivot;
        if (!holes || v == v) {
            p->sum += d;
            p->square += d * d;
            p->n += holes;
        }
        if (!holes) {
            p->low = v < p->low ? v : p->low;
            p->high = v > p->high ? v : p->high;
        }
        c = c + 1 == channels ? 0 : c + 1;
    }
}

static void NAME(block)(Float *state, int channels, const T *x, size_t size)
{
    Part part[MAX_CHANNELS];
    int holes = 0, again = 0;
    NAME(pass)(part, state, channels, x, size, 0);
    for (int c = 0; c < channels; c++)
        holes |= !isfinite(part[c].sum);
    if (holes)
        NAME(pass)(part, state, channels, x, size, 1);
    for (int c = 0; c < channels; c++)
        again |= better_pivot(&state[c], &part[c]);
    if (again)
        NAME(pass)(part, state, channels, x, size, holes);
    for (int c = 0; c < channels; c++)
        merge(&state[c], &part[c], (int64_t)(size / (size_t)channels));
}

/* A first pivot from a few elements. */
static void NAME(start)(Float *state, int channels, const T *x, size_t size)
{
    for (int c = 0; c < channels; c++) {
        double sum = 0.0, low = INFINITY, high = -INFINITY;
        int n = 0;
        for (size_t i = (size_t)c; i < size && n < 16; i += (size_t)channels, n++) {
            double v = (double)x[i];
            if (!isfinite(v))
                break;
            sum += v;
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
        state[c].pivot = n ? round_pivot(sum / n, high - low) : 0.0;
        state[c].started = 1;
    }
}

static void NAME(add)(State *states, int channels, const void *data, size_t size)
{
    Float *state = &states->real[0];
    const T *x = data;
    if (!state->started)
        NAME(start)(state, channels, x, size);
    while (size) {
        size_t now = size < COLUMNS * BLOCK_ROWS ? size : (size_t)(COLUMNS * BLOCK_ROWS);
        NAME(block)(state, channels, x, now);
        x += now;
        size -= now;
    }
}

static int NAME(finish)(const State *states, int channels, char *out)
{
    for (int c = 0; c < channels; c++) {
        const Float *s = &states->real[c];
        double sum, mean, m2;
        T low = (T)s->low, high = (T)s->high;
        if (!moments(s, &sum, &mean, &m2))
            return 0;
        if (s->n == 0)
            low = high = 0;
        out = put_head(out, s->n, s->nan, &sum, mean, m2);
        out = put_tail(out, &low, &high, sizeof(T));
    }
    return 1;
}

#undef STRIP
#undef COLUMNS
#undef BLOCK_ROWS
#undef T
#undef NAME
