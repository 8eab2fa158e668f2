/* Template: exact sums of integers of at most 32 bits.
 *
 * The includer defines T (the element), S and U (signed or unsigned sum, and unsigned
 * square, both twice as wide as T), HALF (the bits of T) and NAME(x).
 *
 * Elements are added down COLUMNS columns, a multiple of 12, so that column j belongs to
 * channel j % channels for 1 to 4 channels, and every loop is a plain vector loop.  Halves
 * of the squares are added apart: 256 of them fit the width that the squares have anyway.
 */

#define STRIP (32 / (int)sizeof(T))
#define COLUMNS (3 * STRIP)
#define STRIP_ROWS 256

CLONES static void NAME(strip)(Exact *state, int channels, int first, const T *x, int rows)
{
    S sum[STRIP];
    U low_half[STRIP], high_half[STRIP];
    T low[STRIP], high[STRIP];
    for (int j = 0; j < STRIP; j++) {
        sum[j] = 0;
        low_half[j] = high_half[j] = 0;
        low[j] = high[j] = x[j];
    }
    for (int r = 0; r < rows; r++, x += COLUMNS) {
#pragma omp simd
        for (int j = 0; j < STRIP; j++) {
            T v = x[j];
            U square = (U)((S)v * (S)v);
            sum[j] = (S)(sum[j] + v);
            low_half[j] = (U)(low_half[j] + (square & (U)(((U)1 << HALF) - 1)));
            high_half[j] = (U)(high_half[j] + (U)(square >> HALF));
            low[j] = v < low[j] ? v : low[j];
            high[j] = v > high[j] ? v : high[j];
        }
    }
    int c = first % channels;
    for (int j = 0; j < STRIP; j++) {
        Exact *s = state + c;
        s->sum += (uint64_t)(int64_t)sum[j];
        s->low_half += low_half[j];
        s->high_half += high_half[j];
        s->low = (int64_t)low[j] < s->low ? (int64_t)low[j] : s->low;
        s->high = (int64_t)high[j] > s->high ? (int64_t)high[j] : s->high;
        if (++c == channels)
            c = 0;
    }
}

static void NAME(add)(State *states, int channels, const void *data, size_t size)
{
    Exact *state = &states->exact[0];
    const T *x = data, *end = x + size;
    while (end - x >= COLUMNS) {
        size_t rows = (size_t)(end - x) / COLUMNS;
        rows = rows < STRIP_ROWS ? rows : STRIP_ROWS;
        for (int first = 0; first < COLUMNS; first += STRIP)
            NAME(strip)(state, channels, first, x + first, (int)rows);
        x += rows * COLUMNS;
    }
    for (int c = 0; x < end; x++) {
        Exact *s = state + c;
        int64_t v = (int64_t)*x;
        uint64_t square = (uint64_t)v * (uint64_t)v;
        s->sum += (uint64_t)v;
        s->low_half += square & (((uint64_t)1 << HALF) - 1);
        s->high_half += square >> HALF;
        s->low = v < s->low ? v : s->low;
        s->high = v > s->high ? v : s->high;
        if (++c == channels)
            c = 0;
    }
    for (int c = 0; c < channels; c++)
        state[c].n += (int64_t)(size / (size_t)channels);
}

static int NAME(finish)(const State *states, int channels, char *out)
{
    for (int c = 0; c < channels; c++) {
        const Exact *s = &states->exact[c];
        uint128 squares = ((uint128)s->high_half << HALF) + s->low_half;
        int128 sum = (S)-1 < 0 ? (int128)(int64_t)s->sum : (int128)s->sum;
        uint128 spread = (uint128)s->n * squares - (uint128)(sum * sum);
        T low = (T)s->low, high = (T)s->high;
        out = put_head(out, s->n, 0, &s->sum, ratio(sum, s->n), unsigned_ratio(spread, s->n));
        out = put_tail(out, &low, &high, sizeof(T));
    }
    return 1;
}

#undef STRIP
#undef COLUMNS
#undef STRIP_ROWS
#undef T
#undef S
#undef U
#undef HALF
#undef NAME
