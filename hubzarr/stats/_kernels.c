/* Statistics of chunks in one pass, for hubzarr.stats.native.
 *
 * measure(data, out, kept, channels) fills one row of statistics for each position of the
 * first `kept` axes of `data` and each channel, as hubzarr.stats.rows lays them out.  It gives
 * False, and leaves nothing of value in `out`, for what the NumPy kernels have to do: other
 * byte orders, layouts that are best copied first, sums past the largest double.
 *
 * Only the limited API and the buffer protocol are used: one build serves every Python from
 * 3.12 on and every NumPy.  No state is kept, and the loops run without the global lock.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if !defined(__SIZEOF_INT128__) || !defined(__BYTE_ORDER__) || \
    __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "needs 128-bit integers and little-endian memory; the NumPy kernels do without"
#endif

/* Loops are compiled for two generations of processors, and the loader picks.  Neither has
 * fused multiply-add, so that both give the same bits. */
#if !defined(CLONES) && defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && \
    defined(__has_attribute)
#if __has_attribute(target_clones)
#define CLONES __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef CLONES
#define CLONES
#endif

typedef __int128 int128;
typedef unsigned __int128 uint128;

enum {
    MAX_CHANNELS = 4,
    MAX_NDIM = 64,
    SCRATCH = 24 * 1024,      /* a multiple of 12 elements of any size */
    LONG_RUN = 4 * 1024,      /* bytes from which on a run is measured where it lies */
    KEEP_LOCK = 16 * 1024,    /* bytes below which releasing the lock costs more than it gives */
};
static const int64_t MOST = (int64_t)1 << 31; /* elements of a chunk: sums of squares fit */

/* State of one channel of one chunk */

typedef struct { /* integers of at most 32 bits */
    int64_t n, low, high;
    uint64_t sum, low_half, high_half;
} Exact;

typedef struct { /* 64-bit integers */
    int64_t n, low, high;
    uint128 sum;
    double m2;
} Wide;

typedef struct { /* floats; the sum is kept in two doubles */
    int64_t n, nan;
    int started;
    double pivot, sum, rest, m2, low, high;
} Float;

typedef union {
    Exact exact[MAX_CHANNELS];
    Wide wide[MAX_CHANNELS];
    Float real[MAX_CHANNELS];
} State;

typedef struct { /* what one block of floats holds of one channel */
    int64_t n;
    double sum, square, low, high;
} Part;

/* Rows */

static char *put_head(char *out, int64_t n, int64_t nan, const void *sum, double mean, double m2)
{
    memcpy(out, &n, 8);
    memcpy(out + 8, &nan, 8);
    memcpy(out + 16, sum, 8);
    memcpy(out + 24, &mean, 8);
    memcpy(out + 32, &m2, 8);
    return out + 40;
}

static char *put_tail(char *out, const void *low, const void *high, size_t itemsize)
{
    memcpy(out, low, itemsize);
    memcpy(out + itemsize, high, itemsize);
    memset(out + 2 * itemsize, 0, 8);
    return out + 2 * itemsize + 8;
}

/* a / n, rounded once: the quotient gets at least 64 bits, the last of which is sticky. */
static double unsigned_ratio(uint128 a, int64_t n)
{
    int shift = 0;
    if (a == 0)
        return 0.0;
    if (a >> 53 == 0)
        return (double)(uint64_t)a / (double)n;
    while (a >> 120 == 0) {
        a <<= 8;
        shift += 8;
    }
    uint128 quotient = a / (uint128)n;
    quotient |= quotient * (uint128)n != a;
    return ldexp((double)quotient, -shift);
}

static double ratio(int128 a, int64_t n)
{
    return a < 0 ? -unsigned_ratio(-(uint128)a, n) : unsigned_ratio((uint128)a, n);
}

/* Floats: pivots and the merging of blocks */

/* A number close to `centre`, by a fraction of the range, with few significant bits: then the
 * differences of integers from it are exact, and so are their sums. */
static double round_pivot(double centre, double range)
{
    if (!isfinite(centre) || !isfinite(range))
        return 0.0;
    if (range <= 0.0)
        return centre;
    double quantum = ldexp(1.0, ilogb(range) - 8);
    double steps = quantum > 0.0 ? centre / quantum : 0.0;
    return fabs(steps) < 0x1p52 && quantum > 0.0 ? nearbyint(steps) * quantum : centre;
}

/* Move the pivot if more than a digit cancels about it. */
static int better_pivot(Float *state, const Part *part)
{
    double n = (double)part->n, off;
    if (part->n == 0 || part->low >= part->high || !isfinite(part->square))
        return 0;
    off = part->sum / n;
    if (!(off * part->sum > 0.9 * part->square))
        return 0;
    double pivot = round_pivot(state->pivot + off, part->high - part->low);
    if (pivot == state->pivot)
        return 0;
    state->pivot = pivot;
    return 1;
}

static void add_up(Float *state, double value)
{
    double sum = state->sum + value;
    state->rest += fabs(state->sum) >= fabs(value) ? (state->sum - sum) + value
                                                   : (value - sum) + state->sum;
    state->sum = sum;
}

static void merge(Float *state, const Part *part, int64_t size)
{
    double n = (double)part->n, before = (double)state->n;
    int even = part->low == part->high;
    state->nan += size - part->n;
    if (part->n == 0)
        return;
    double off = part->sum / n;
    double mean = even ? part->low : state->pivot + off;
    double m2 = even ? 0.0 : part->square - part->sum * off;
    state->m2 += m2 < 0.0 ? 0.0 : m2;
    if (state->n) {
        double delta = mean - (state->sum + state->rest) / before;
        state->m2 += delta * delta * (before * n / (before + n));
    }
    add_up(state, even ? n * mean : n * state->pivot);
    if (!even)
        add_up(state, part->sum);
    state->n += part->n;
    state->low = part->low < state->low ? part->low : state->low;
    state->high = part->high > state->high ? part->high : state->high;
    state->pivot = round_pivot(mean, part->high - part->low);
}

/* Sum, mean and m2 of one channel; 0 if finite elements gave sums that are not. */
static int moments(const Float *state, double *sum, double *mean, double *m2)
{
    double n = (double)state->n;
    if (state->n == 0) {
        *sum = *mean = *m2 = 0.0;
        return 1;
    }
    if (!isfinite(state->low) || !isfinite(state->high)) {
        int both = state->low == -INFINITY && state->high == INFINITY;
        *sum = both ? NAN : state->low == -INFINITY ? state->low : state->high;
        *mean = *sum;
        *m2 = NAN;
        return 1;
    }
    if (state->low == state->high) {
        *sum = n * state->low;
        *mean = state->low;
        *m2 = 0.0;
        return isfinite(*sum) != 0;
    }
    *sum = state->sum + state->rest;
    *mean = *sum / n;
    *m2 = state->m2;
    return isfinite(*sum) && isfinite(*m2);
}

/* Kernels, by kind and bytes of the element */

#define T uint8_t
#define S uint16_t
#define U uint16_t
#define HALF 8
#define NAME(x) x##_u1
#include "_kernels_int.h"

#define T int8_t
#define S int16_t
#define U uint16_t
#define HALF 8
#define NAME(x) x##_i1
#include "_kernels_int.h"

#define T uint16_t
#define S uint32_t
#define U uint32_t
#define HALF 16
#define NAME(x) x##_u2
#include "_kernels_int.h"

#define T int16_t
#define S int32_t
#define U uint32_t
#define HALF 16
#define NAME(x) x##_i2
#include "_kernels_int.h"

#define T uint32_t
#define S uint64_t
#define U uint64_t
#define HALF 32
#define NAME(x) x##_u4
#include "_kernels_int.h"

#define T int32_t
#define S int64_t
#define U uint64_t
#define HALF 32
#define NAME(x) x##_i4
#include "_kernels_int.h"

#include "_kernels_wide.h"

#define T float
#define NAME(x) x##_f4
#include "_kernels_float.h"

#define T double
#define NAME(x) x##_f8
#include "_kernels_float.h"

/* Half-precision floats, by way of single precision, which holds them all. */

static inline float half_to_float(uint16_t half)
{
    uint32_t bits = (uint32_t)(half & 0x7fff) << 13, sign = (uint32_t)(half & 0x8000) << 16;
    float value;
    memcpy(&value, &bits, 4);
    value *= 0x1p112f; /* the exponents' biases differ; this rights subnormal numbers too */
    memcpy(&bits, &value, 4);
    bits = (half & 0x7c00) == 0x7c00 ? bits | 0x7f800000 : bits;
    bits |= sign;
    memcpy(&value, &bits, 4);
    return value;
}

static uint16_t float_to_half(float value) /* of a value that a half can hold */
{
    uint32_t bits;
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    if (isinf(value))
        return (uint16_t)(sign | 0x7c00);
    value = fabsf(value) * 0x1p-112f;
    memcpy(&bits, &value, 4);
    return (uint16_t)(sign | bits >> 13);
}

CLONES static void widen(float *out, const uint16_t *x, int size)
{
#pragma omp simd
    for (int i = 0; i < size; i++)
        out[i] = half_to_float(x[i]);
}

static void add_f2(State *states, int channels, const void *data, size_t size)
{
    float values[SCRATCH / 4];
    const uint16_t *x = data;
    while (size) {
        size_t now = size < SCRATCH / 4 ? size : SCRATCH / 4;
        widen(values, x, (int)now);
        add_f4(states, channels, values, now);
        x += now;
        size -= now;
    }
}

static int finish_f2(const State *states, int channels, char *out)
{
    for (int c = 0; c < channels; c++) {
        const Float *s = &states->real[c];
        double sum, mean, m2;
        uint16_t low = s->n ? float_to_half((float)s->low) : 0;
        uint16_t high = s->n ? float_to_half((float)s->high) : 0;
        if (!moments(s, &sum, &mean, &m2))
            return 0;
        out = put_head(out, s->n, s->nan, &sum, mean, m2);
        out = put_tail(out, &low, &high, 2);
    }
    return 1;
}

static int finish_bool(const State *states, int channels, char *out)
{
    for (int c = 0; c < channels; c++)
        if (states->exact[c].high > 1) /* true by another bit pattern than NumPy's */
            return 0;
    return finish_u1(states, channels, out);
}

typedef void Add(State *, int channels, const void *data, size_t size);
typedef int Finish(const State *, int channels, char *out);

typedef struct {
    char kind; /* as in NumPy: b, i, u, f */
    int itemsize;
    Add *add;
    Finish *finish;
} Kernel;

static const Kernel KERNELS[] = {
    {'u', 1, add_u1, finish_u1}, {'i', 1, add_i1, finish_i1}, {'b', 1, add_u1, finish_bool},
    {'u', 2, add_u2, finish_u2}, {'i', 2, add_i2, finish_i2}, {'u', 4, add_u4, finish_u4},
    {'i', 4, add_i4, finish_i4}, {'u', 8, add_u8, finish_u8}, {'i', 8, add_i8, finish_i8},
    {'f', 2, add_f2, finish_f2}, {'f', 4, add_f4, finish_f4}, {'f', 8, add_f8, finish_f8},
};

static const Kernel *find_kernel(const Py_buffer *data)
{
    const char *format = data->format ? data->format : "B";
    char kind;
    if (*format == '@' || *format == '=' || *format == '<')
        format++;
    if (format[0] == 0 || format[1] != 0)
        return NULL;
    if (strchr("bhilq", *format))
        kind = 'i';
    else if (strchr("BHILQ", *format))
        kind = 'u';
    else
        kind = *format == '?' ? 'b' : strchr("efd", *format) ? 'f' : 0;
    for (size_t i = 0; i < sizeof KERNELS / sizeof *KERNELS; i++)
        if (KERNELS[i].kind == kind && KERNELS[i].itemsize == (int)data->itemsize)
            return KERNELS + i;
    return NULL;
}

/* Layout */

typedef struct {
    const char *base;
    int channels, aligned;
    int outer_ndim; /* axes around the runs, from the outermost in */
    Py_ssize_t outer[MAX_NDIM], strides[MAX_NDIM];
    size_t run;     /* contiguous elements; a multiple of the channels */
    size_t size;    /* elements of a chunk */
} Layout;

/* Describe the axes from `kept` on as runs of contiguous elements, in the order in which they
 * lie in memory; 0 if there are no such runs to speak of. */
static int lay_out(Layout *layout, const Py_buffer *data, int kept, int channels)
{
    int last = data->ndim, count = 0;
    Py_ssize_t shape[MAX_NDIM], strides[MAX_NDIM];
    layout->base = data->buf;
    layout->channels = channels;
    layout->size = layout->run = (size_t)channels;
    if (channels > 1 && data->strides[--last] != data->itemsize)
        return 0;
    for (int axis = kept; axis < last; axis++) {
        Py_ssize_t n = data->shape[axis], stride = data->strides[axis];
        int at = count;
        if (n == 1)
            continue;
        layout->size *= (size_t)n;
        if (stride < 0) {
            layout->base += stride * (n - 1);
            stride = -stride;
        }
        for (; at > 0 && strides[at - 1] > stride; at--) {
            strides[at] = strides[at - 1];
            shape[at] = shape[at - 1];
        }
        strides[at] = stride;
        shape[at] = n;
        count++;
    }
    int first = 0;
    while (first < count && strides[first] == (Py_ssize_t)layout->run * data->itemsize)
        layout->run *= (size_t)shape[first++];
    if (first == 0 && count > 0)
        return 0;
    layout->outer_ndim = count - first;
    layout->aligned = (uintptr_t)layout->base % (size_t)data->itemsize == 0;
    for (int i = 0; i < layout->outer_ndim; i++) {
        layout->outer[i] = shape[count - 1 - i];
        layout->strides[i] = strides[count - 1 - i];
        layout->aligned &= layout->strides[i] % data->itemsize == 0;
    }
    for (int axis = 0; axis < kept; axis++)
        layout->aligned &= data->strides[axis] % data->itemsize == 0;
    return 1;
}

static void begin(State *state, const Kernel *kernel, int channels)
{
    memset(state, 0, sizeof *state);
    for (int c = 0; c < channels; c++) {
        if (kernel->kind == 'f') {
            state->real[c].low = INFINITY;
            state->real[c].high = -INFINITY;
        } else if (kernel->itemsize < 8) {
            state->exact[c].low = INT64_MAX;
            state->exact[c].high = INT64_MIN;
        }
    }
}

/* Step to the next position of some axes, the last one fastest; 0 after the last position. */
static int advance(int ndim, const Py_ssize_t *shape, const Py_ssize_t *strides,
                   Py_ssize_t *index, const char **at)
{
    for (int axis = ndim - 1; axis >= 0; axis--) {
        *at += strides[axis];
        if (++index[axis] < shape[axis])
            return 1;
        *at -= strides[axis] * shape[axis];
        index[axis] = 0;
    }
    return 0;
}

/* Measure one chunk, whose layout is given relative to `at`. */
static int measure_chunk(const Kernel *kernel, const Layout *layout, const char *at, char *out)
{
    State state;
    int channels = layout->channels;
    size_t itemsize = (size_t)kernel->itemsize, bytes = layout->run * itemsize, filled = 0;
    Py_ssize_t index[MAX_NDIM] = {0};
    _Alignas(64) char scratch[SCRATCH];
    begin(&state, kernel, channels);
    if (layout->aligned && (bytes >= LONG_RUN || layout->outer_ndim == 0)) {
        do {
            kernel->add(&state, channels, at, layout->run);
        } while (advance(layout->outer_ndim, layout->outer, layout->strides, index, &at));
        return kernel->finish(&state, channels, out);
    }
    do {
        for (size_t done = 0; done < bytes;) {
            size_t now = bytes - done < SCRATCH - filled ? bytes - done : SCRATCH - filled;
            memcpy(scratch + filled, at + done, now);
            filled += now;
            done += now;
            if (filled == SCRATCH) {
                kernel->add(&state, channels, scratch, SCRATCH / itemsize);
                filled = 0;
            }
        }
    } while (advance(layout->outer_ndim, layout->outer, layout->strides, index, &at));
    if (filled)
        kernel->add(&state, channels, scratch, filled / itemsize);
    return kernel->finish(&state, channels, out);
}

static int measure_all(const Kernel *kernel, const Layout *layout, const Py_buffer *data, int kept,
                       char *out)
{
    const char *at = layout->base;
    Py_ssize_t index[MAX_NDIM] = {0};
    size_t step = (48 + 2 * (size_t)kernel->itemsize) * (size_t)layout->channels;
    do {
        if (!measure_chunk(kernel, layout, at, out))
            return 0;
        out += step;
    } while (advance(kept, data->shape, data->strides, index, &at));
    return 1;
}

/* Measure one buffer into another; 1 done, 0 not for these kernels, -1 an error is set. */
static int run(const Py_buffer *data, const Py_buffer *out, int kept, int channels)
{
    const Kernel *kernel = find_kernel(data);
    Layout layout;
    Py_ssize_t rows = channels;
    int done;
    if (kept < 0 || kept > data->ndim || data->ndim > MAX_NDIM || channels < 1 ||
        channels > MAX_CHANNELS ||
        (channels > 1 && (kept == data->ndim || data->shape[data->ndim - 1] != channels))) {
        PyErr_SetString(PyExc_ValueError, "kept axes and channels do not fit the data");
        return -1;
    }
    if (kernel == NULL || data->len == 0)
        return 0;
    for (int axis = 0; axis < kept; axis++)
        rows *= data->shape[axis];
    if (out->len != rows * (48 + 2 * data->itemsize)) {
        PyErr_SetString(PyExc_ValueError, "out has another size than the rows of the data");
        return -1;
    }
    if (!lay_out(&layout, data, kept, channels) || layout.size > (size_t)MOST)
        return 0;
    if (data->len < KEEP_LOCK)
        return measure_all(kernel, &layout, data, kept, out->buf);
    Py_BEGIN_ALLOW_THREADS
    done = measure_all(kernel, &layout, data, kept, out->buf);
    Py_END_ALLOW_THREADS
    return done;
}

static PyObject *measure(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer data, out;
    long kept, channels;
    int done;
    (void)module;
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "expected data, out, kept and channels");
        return NULL;
    }
    kept = PyLong_AsLong(args[2]);
    channels = PyLong_AsLong(args[3]);
    if (PyErr_Occurred())
        return NULL;
    if (kept < 0 || kept > MAX_NDIM || channels < 1 || channels > MAX_CHANNELS) {
        PyErr_SetString(PyExc_ValueError, "kept axes and channels do not fit the data");
        return NULL;
    }
    if (PyObject_GetBuffer(args[0], &data, PyBUF_RECORDS_RO) < 0)
        return NULL;
    if (PyObject_GetBuffer(args[1], &out, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&data);
        return NULL;
    }
    done = run(&data, &out, (int)kept, (int)channels);
    PyBuffer_Release(&out);
    PyBuffer_Release(&data);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

static PyMethodDef methods[] = {
    {"measure", (PyCFunction)(void (*)(void))measure, METH_FASTCALL,
     PyDoc_STR("measure(data, out, kept, channels, /)\n--\n\n"
               "Fill rows of statistics; False where the NumPy kernels have to.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernels", PyDoc_STR("Compiled kernels of hubzarr.stats."), 0, methods,
    slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernels(void)
{
    return PyModuleDef_Init(&definition);
}
