/* 64-bit integers: exact sums in 128 bits, squares of the differences from each block's mean.
 *
 * Signed ones are shifted to unsigned by flipping the sign bit, so that one code serves both:
 * u is the shifted element, and u ^ SIGN as a signed integer orders like it.
 */

#define SIGN ((uint64_t)1 << 63)
#define STRIP 8
#define COLUMNS 24
#define BLOCK_ROWS 128

CLONES static void wide_sums(const uint64_t *x, int rows, uint64_t flip, uint64_t *sums,
                             int64_t *extremes)
{
    uint64_t low_half[STRIP], high_half[STRIP];
    int64_t low[STRIP], high[STRIP];
    for (int j = 0; j < STRIP; j++) {
        low_half[j] = high_half[j] = 0;
        low[j] = INT64_MAX;
        high[j] = INT64_MIN;
    }
    for (int r = 0; r < rows; r++, x += COLUMNS) {
#pragma omp simd
        for (int j = 0; j < STRIP; j++) {
            uint64_t u = x[j] ^ flip;
            int64_t s = (int64_t)(u ^ SIGN);
            low_half[j] += u & 0xffffffff;
            high_half[j] += u >> 32;
            low[j] = s < low[j] ? s : low[j];
            high[j] = s > high[j] ? s : high[j];
        }
    }
    for (int j = 0; j < STRIP; j++) {
        sums[j] = low_half[j];
        sums[COLUMNS + j] = high_half[j];
        extremes[j] = low[j];
        extremes[COLUMNS + j] = high[j];
    }
}

static inline double as_double(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, 8);
    return d;
}

/* An integer to a double by arithmetic that vectorises: its halves are put below the leading
 * bits of 2**84 and 2**52, and those are taken off again.  Rounds once, as a cast does. */
static inline double to_double(int64_t v)
{
    uint64_t u = (uint64_t)v ^ SIGN;
    double high = as_double((u >> 32) | 0x4530000000000000) - 0x1.00000801p84;
    double low = as_double((u & 0xffffffff) | 0x4330000000000000);
    return high + low;
}

/* Sums of squared differences from the pivots.  A shift by one bit makes any differences fit. */
CLONES static void wide_squares(const uint64_t *x, int rows, uint64_t flip, int shift,
                                const uint64_t *pivots, double *squares)
{
    double square[STRIP];
    uint64_t pivot[STRIP];
    for (int j = 0; j < STRIP; j++) {
        square[j] = 0.0;
        pivot[j] = pivots[j] >> shift;
    }
    for (int r = 0; r < rows; r++, x += COLUMNS) {
#pragma omp simd
        for (int j = 0; j < STRIP; j++) {
            double d = to_double((int64_t)(((x[j] ^ flip) >> shift) - pivot[j]));
            square[j] += d * d;
        }
    }
    for (int j = 0; j < STRIP; j++)
        squares[j] = square[j];
}

/* What a block holds of one channel. */
typedef struct {
    int64_t n, low, high;
    uint128 sum;
    uint64_t pivot;
    double square;
} WidePart;

static void wide_first_pass(WidePart *part, int channels, const uint64_t *x, size_t size,
                            uint64_t flip)
{
    uint64_t sums[2 * COLUMNS];
    int64_t extremes[2 * COLUMNS];
    int rows = (int)(size / COLUMNS), c = 0;
    for (int i = 0; i < channels; i++) {
        WidePart zero = {(int64_t)(size / (size_t)channels), INT64_MAX, INT64_MIN, 0, 0, 0.0};
        part[i] = zero;
    }
    if (rows) {
        for (int j = 0; j < COLUMNS; j += STRIP)
            wide_sums(x + j, rows, flip, sums + j, extremes + j);
        for (int j = 0; j < COLUMNS; j++) {
            WidePart *p = part + c;
            p->sum += ((uint128)sums[COLUMNS + j] << 32) + sums[j];
            p->low = extremes[j] < p->low ? extremes[j] : p->low;
            p->high = extremes[COLUMNS + j] > p->high ? extremes[COLUMNS + j] : p->high;
            c = c + 1 == channels ? 0 : c + 1;
        }
    }
    c = 0;
    for (size_t i = (size_t)rows * COLUMNS; i < size; i++) {
        WidePart *p = part + c;
        uint64_t u = x[i] ^ flip;
        int64_t s = (int64_t)(u ^ SIGN);
        p->sum += u;
        p->low = s < p->low ? s : p->low;
        p->high = s > p->high ? s : p->high;
        c = c + 1 == channels ? 0 : c + 1;
    }
    for (int i = 0; i < channels; i++)
        part[i].pivot = (uint64_t)(part[i].sum / (uint128)part[i].n);
}

static void wide_second_pass(WidePart *part, int channels, const uint64_t *x, size_t size,
                             uint64_t flip)
{
    uint64_t pivots[COLUMNS];
    double squares[COLUMNS];
    size_t done = size / COLUMNS * COLUMNS;
    int c = 0, shift = 0;
    for (int i = 0; i < channels; i++)
        shift |= (uint64_t)part[i].high - (uint64_t)part[i].low >= SIGN;
    if (done) {
        for (int j = 0; j < COLUMNS; j++) {
            pivots[j] = part[c].pivot;
            c = c + 1 == channels ? 0 : c + 1;
        }
        for (int j = 0; j < COLUMNS; j += STRIP)
            wide_squares(x + j, (int)(done / COLUMNS), flip, shift, pivots + j, squares + j);
        c = 0;
        for (int j = 0; j < COLUMNS; j++) {
            part[c].square += shift ? 4.0 * squares[j] : squares[j];
            c = c + 1 == channels ? 0 : c + 1;
        }
    }
    c = 0;
    for (size_t i = done; i < size; i++) {
        uint64_t u = x[i] ^ flip, pivot = part[c].pivot;
        double d = u >= pivot ? (double)(u - pivot) : (double)(pivot - u);
        part[c].square += d * d;
        c = c + 1 == channels ? 0 : c + 1;
    }
}

static void wide_merge(Wide *state, const WidePart *part)
{
    double n = (double)part->n;
    double rest = (double)(uint64_t)(part->sum - (uint128)part->pivot * (uint128)part->n);
    double m2 = part->square - rest * (rest / n);
    if (part->low == part->high || m2 < 0.0)
        m2 = 0.0;
    if (state->n == 0) {
        state->m2 = m2;
        state->low = part->low;
        state->high = part->high;
    } else {
        double weight = (double)state->n * n;
        int128 apart = (int128)(part->sum * (uint128)state->n - state->sum * (uint128)part->n);
        double delta = (double)apart / weight;
        state->m2 += m2 + delta * delta * (weight / ((double)state->n + n));
        state->low = part->low < state->low ? part->low : state->low;
        state->high = part->high > state->high ? part->high : state->high;
    }
    state->n += part->n;
    state->sum += part->sum;
}

static void wide_add(State *states, int channels, const void *data, size_t size, uint64_t flip)
{
    const uint64_t *x = data;
    while (size) {
        WidePart part[MAX_CHANNELS];
        size_t now = size < COLUMNS * BLOCK_ROWS ? size : (size_t)(COLUMNS * BLOCK_ROWS);
        wide_first_pass(part, channels, x, now, flip);
        wide_second_pass(part, channels, x, now, flip);
        for (int c = 0; c < channels; c++)
            wide_merge(&states->wide[c], &part[c]);
        x += now;
        size -= now;
    }
}

static void add_i8(State *states, int channels, const void *data, size_t size)
{
    wide_add(states, channels, data, size, SIGN);
}

static void add_u8(State *states, int channels, const void *data, size_t size)
{
    wide_add(states, channels, data, size, 0);
}

static int wide_finish(const State *states, int channels, char *out, uint64_t flip)
{
    for (int c = 0; c < channels; c++) {
        const Wide *s = &states->wide[c];
        int128 sum = (int128)s->sum - (int128)((uint128)flip * (uint128)s->n);
        uint64_t wrapped = (uint64_t)sum;
        uint64_t low = (uint64_t)s->low ^ SIGN ^ flip, high = (uint64_t)s->high ^ SIGN ^ flip;
        double m2 = low == high ? 0.0 : s->m2;
        out = put_head(out, s->n, 0, &wrapped, ratio(sum, s->n), m2);
        out = put_tail(out, &low, &high, 8);
    }
    return 1;
}

static int finish_i8(const State *states, int channels, char *out)
{
    return wide_finish(states, channels, out, SIGN);
}

static int finish_u8(const State *states, int channels, char *out)
{
    return wide_finish(states, channels, out, 0);
}

#undef SIGN
#undef STRIP
#undef COLUMNS
#undef BLOCK_ROWS
