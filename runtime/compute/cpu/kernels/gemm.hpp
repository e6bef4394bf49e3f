// Register tiles of the matrix product: templates over the SIMD traits S. See gemm.hpp.
//
// A panel is four vectors wide. Few rows take all four at once, as one stream of weights with
// enough independent sums; more rows take two vectors at a time and keep up to S::kMaxRows rows of
// sums in registers. The inner index runs over its full length, so sums leave the registers once.
//
// Why these sizes: R rows of V vectors take R V registers for sums, V for weights and one for the
// element of A that is spread over a vector. Every weight serves R rows and every such element V
// vectors: R + V loads for R V products. AVX2 has 16 registers, so 6 x 2 + 2 + 1 = 15; its 8 loads
// a step take less time than its 12 products, and two products a cycle that take 4 or 5 cycles each
// need 8 to 10 independent sums, of which there are 12. AVX-512 has 32, so 13 x 2 + 2 + 1 = 29. A
// single row is bound by the stream of weights instead, whatever the tile: it takes all 4 vectors
// to have 4 sums.
#pragma once

#include "compute/cpu/gemm.hpp"
#include "compute/cpu/kernels/simd_math.hpp"

// Arrays of sums must become registers: loops over them are unrolled. Not for traits in plain C++,
// whose vectors are arrays themselves: compilers take minutes over that.
#ifdef TESSERA_CPU_PORTABLE
#define TESSERA_UNROLL_ALL
#define TESSERA_UNROLL_2
#elif defined(__clang__)
#define TESSERA_UNROLL_ALL _Pragma("clang loop unroll(full)")
#define TESSERA_UNROLL_2 _Pragma("clang loop unroll_count(2)")
#else
#define TESSERA_UNROLL_ALL _Pragma("GCC unroll 16")
#define TESSERA_UNROLL_2 _Pragma("GCC unroll 2")
#endif

namespace tessera::cpu {

template <class S>
struct Gemm {
    using F = typename S::F;
    using P = typename S::P;
    static constexpr int kLanes = S::kLanes;
    static constexpr int kPanelVectors = 4;
    static constexpr std::int64_t kPanel = kPanelVectors * kLanes;
    static constexpr std::int64_t kHalf = kPanel / 2;

    // What is read: f32 weights, bf16 weights widened to f32, or bf16 products.
    enum class Kind { kF32, kWiden, kDot };

    // What a tile fetches of the next panel. The last two tiles of a panel, which is near by then,
    // take every other row each: one f32 tile alone would ask for more than memory gives. bf16
    // panels have half the bytes; the last tile takes them all. Panels of longer columns would push
    // each other out of the cache.
    enum class Ahead { kNone, kEven, kOdd };
    static constexpr std::int64_t kAheadColumnBytes = 4096;

    template <bool kFirst, class First, class Second>
    struct Choose {
        using Type = First;
    };
    template <class First, class Second>
    struct Choose<false, First, Second> {
        using Type = Second;
    };

    template <int R, int V>
    struct Sums {
        F at[R][V];
    };

    template <class T>
    static const T *row(const GemmCall &call, std::int64_t segment, std::int64_t r) {
        if (call.a_rows)
            return static_cast<const T *>(call.a_rows[segment * call.a_rows_stride + r]);
        return static_cast<const T *>(call.a) + r * call.a_stride +
               segment * call.weight.segment_length;
    }

    template <int R, int V>
    static void step(Sums<R, V> &sums, const float *const (&a)[R], std::int64_t k, F (&w)[V]) {
        TESSERA_UNROLL_ALL
        for (int v = 0; v < V; ++v) S::pin(w[v]);
        TESSERA_UNROLL_ALL
        for (int r = 0; r < R; ++r) {
            const F x = S::set1(a[r][k]);
            TESSERA_UNROLL_ALL
            for (int v = 0; v < V; ++v) sums.at[r][v] = S::fma(x, w[v], sums.at[r][v]);
        }
    }

    template <int R, int V>
    static void step_f32(Sums<R, V> &sums, const float *const (&a)[R], std::int64_t k,
                         const float *w, const float *other) {
        F weight[V];
        TESSERA_UNROLL_ALL
        for (int v = 0; v < V; ++v) weight[v] = S::load((v < 2 ? w : other) + v % 2 * kLanes);
        step(sums, a, k, weight);
    }

    template <int R, int V>
    static void add_f32(Sums<R, V> &sums, const float *const (&a)[R], const float *w,
                        std::int64_t to_other_half, std::int64_t length) {
        const float *other = w + to_other_half;
        TESSERA_UNROLL_2
        for (std::int64_t k = 0; k < length; ++k, w += kHalf, other += kHalf) {
            step_f32(sums, a, k, w, other);
        }
    }

    // Fetches a row of a half panel: kHalf floats, or as many pairs.
    static void fetch(const void *row) {
        constexpr std::int64_t kLine = 64;
        for (std::int64_t at = 0; at < kHalf * static_cast<std::int64_t>(sizeof(float));
             at += kLine)
            __builtin_prefetch(static_cast<const char *>(row) + at, 0, 2);
    }

    // The same; of every two rows of weights, the one at `next` is fetched along the way.
    template <int R, int V>
    static void add_f32_ahead(Sums<R, V> &sums, const float *const (&a)[R], const float *w,
                              std::int64_t to_other_half, std::int64_t length, const float *next) {
        const float *other = w + to_other_half;
        std::int64_t k = 0;
        for (; k + 2 <= length; k += 2, w += 2 * kHalf, other += 2 * kHalf, next += 2 * kHalf) {
            fetch(next);
            step_f32(sums, a, k, w, other);
            step_f32(sums, a, k + 1, w + kHalf, other + kHalf);
        }
        if (k < length) step_f32(sums, a, k, w, other);
    }

    template <int R, int V>
    static void clear(Sums<R, V> &sums) {
        TESSERA_UNROLL_ALL
        for (int r = 0; r < R; ++r) {
            TESSERA_UNROLL_ALL
            for (int v = 0; v < V; ++v) sums.at[r][v] = S::zero();
        }
    }

    // Sums of the stretches that are complete, in memory, and how long the one in registers is.
    template <int R, int V>
    struct Stretches {
        float at[R * V * kLanes];
        std::int64_t count = 0;
        std::int64_t terms = 0;
    };

    // Adds the complete stretches to the one in registers.
    template <int R, int V>
    static void take(Sums<R, V> &sums, const Stretches<R, V> &total) {
        TESSERA_UNROLL_ALL
        for (int r = 0; r < R; ++r) {
            TESSERA_UNROLL_ALL
            for (int v = 0; v < V; ++v) {
                sums.at[r][v] = S::add(S::load(total.at + (r * V + v) * kLanes), sums.at[r][v]);
            }
        }
    }

    template <int R, int V>
    static void add_stretches(Sums<R, V> &sums, Stretches<R, V> &total, const float *const (&a)[R],
                              const float *w, std::int64_t to_other_half, std::int64_t length) {
        for (std::int64_t k = 0; k < length;) {
            const std::int64_t left = length - k;
            const std::int64_t n = left < kStretch ? left : kStretch;
            const float *from[R];
            for (int r = 0; r < R; ++r) from[r] = a[r] + k;
            add_f32(sums, from, w + k * kHalf, to_other_half, n);
            k += n;
            total.terms += n;
            if (total.terms < kStretch) continue;
            if (total.count > 0) take(sums, total);
            TESSERA_UNROLL_ALL
            for (int r = 0; r < R; ++r) {
                TESSERA_UNROLL_ALL
                for (int v = 0; v < V; ++v) {
                    S::store(total.at + (r * V + v) * kLanes, sums.at[r][v]);
                }
            }
            clear(sums);
            ++total.count;
            total.terms = 0;
        }
    }

    template <bool kAhead = false, int R, int V>
    static void add_widened(Sums<R, V> &sums, const float *const (&a)[R], const std::uint16_t *w,
                            std::int64_t to_other_half, std::int64_t length,
                            std::int64_t ahead = 0) {
        const std::uint16_t *other = w + to_other_half;
        F weight[V];
        for (std::int64_t k = 0; k < length; k += 2, w += 2 * kHalf, other += 2 * kHalf) {
            if constexpr (kAhead) fetch(w + ahead);
            TESSERA_UNROLL_ALL
            for (int v = 0; v < V; ++v) weight[v] = S::even(load_pairs(w, other, v));
            step(sums, a, k, weight);
            if (k + 1 == length) break;
            TESSERA_UNROLL_ALL
            for (int v = 0; v < V; ++v) weight[v] = S::odd(load_pairs(w, other, v));
            step(sums, a, k + 1, weight);
        }
    }

    template <int R, int V>
    static void add_dot(Sums<R, V> &sums, const std::uint16_t *const (&a)[R],
                        const std::uint16_t *w, std::int64_t to_other_half, std::int64_t length) {
        const std::uint16_t *other = w + to_other_half;
        for (std::int64_t k = 0; k < length; k += 2, w += 2 * kHalf, other += 2 * kHalf) {
            P weight[V];
            TESSERA_UNROLL_ALL
            for (int v = 0; v < V; ++v) weight[v] = load_pairs(w, other, v);
            TESSERA_UNROLL_ALL
            for (int r = 0; r < R; ++r) {
                const P x = S::set1_pair(a[r] + k);
                TESSERA_UNROLL_ALL
                for (int v = 0; v < V; ++v) {
                    sums.at[r][v] = S::dot_bf16(sums.at[r][v], x, weight[v]);
                }
            }
        }
    }

    static P load_pairs(const std::uint16_t *w, const std::uint16_t *other, int v) {
        return S::load_pairs((v < 2 ? w : other) + v % 2 * 2 * kLanes);
    }

    // R rows from `first_row` times V vectors from vector `first` of the panel.
    template <Kind kKind, int R, int V>
    __attribute__((noinline)) static void tile(const GemmCall &call, std::int64_t panel, int first,
                                               std::int64_t first_row, Ahead ahead) {
        Sums<R, V> sums;
        clear(sums);
        Stretches<R, V> total;
        // Elements of a half panel, and of one segment of it.
        const std::int64_t length = call.weight.segment_length;
        const std::int64_t segment = (kKind == Kind::kF32 ? length : (length + 1) / 2 * 2) * kHalf;
        const std::int64_t half = call.weight.segments * segment;
        const std::int64_t start = (2 * panel + first / 2) * half;
        for (std::int64_t s = 0; s < call.weight.segments; ++s) {
            if (call.skip && call.skip[s]) continue;
            using A = typename Choose<kKind == Kind::kDot, std::uint16_t, float>::Type;
            using W = typename Choose<kKind == Kind::kF32, float, std::uint16_t>::Type;
            const A *a[R];
            for (int r = 0; r < R; ++r) a[r] = row<A>(call, s, first_row + r);
            const W *w = static_cast<const W *>(call.weight.data) + start + s * segment;
            if constexpr (kKind == Kind::kF32) {
                if (call.in_stretches)
                    add_stretches<R, V>(sums, total, a, w, half, length);
                else if (ahead != Ahead::kNone)
                    add_f32_ahead(sums, a, w, half, length,
                                  w + 2 * half + (ahead == Ahead::kOdd ? kHalf : 0));
                else
                    add_f32(sums, a, w, half, length);
            }
            if constexpr (kKind == Kind::kWiden) {
                if (ahead == Ahead::kOdd)
                    add_widened<true>(sums, a, w, half, length, 2 * half);
                else
                    add_widened(sums, a, w, half, length);
            }
            if constexpr (kKind == Kind::kDot) add_dot<R, V>(sums, a, w, half, length);
        }
        if (total.count > 0) take(sums, total);
        const Epilogue &e = call.epilogue;
        const std::int64_t column = panel * kPanel + first * kLanes;
        if (!e.bias && !e.activation && !e.gate && !e.residual && !call.out_bf16 &&
            column + V * kLanes <= call.weight.columns) {
            float *out = call.out + first_row * call.out_stride + column;
            TESSERA_UNROLL_ALL
            for (int r = 0; r < R; ++r) {
                TESSERA_UNROLL_ALL
                for (int v = 0; v < V; ++v) {
                    S::store(out + r * call.out_stride + v * kLanes, sums.at[r][v]);
                }
            }
            return;
        }
        float buffer[R * V * kLanes];
        TESSERA_UNROLL_ALL
        for (int r = 0; r < R; ++r) {
            TESSERA_UNROLL_ALL
            for (int v = 0; v < V; ++v) S::store(buffer + (r * V + v) * kLanes, sums.at[r][v]);
        }
        finish(call, buffer, R, V, first_row, column);
    }

    static F load_some(const float *p, int count) {
        return count == kLanes ? S::load(p) : S::load_first(p, count);
    }

    // The epilogue of a tile whose sums are in `buffer`.
    __attribute__((noinline)) static void finish(const GemmCall &call, const float *buffer,
                                                 int rows, int vectors, std::int64_t first_row,
                                                 std::int64_t first_column) {
        const Epilogue &epilogue = call.epilogue;
        for (int v = 0; v < vectors; ++v) {
            const std::int64_t column = first_column + v * kLanes;
            if (column >= call.weight.columns) break;
            const std::int64_t left = call.weight.columns - column;
            const int count = left < kLanes ? static_cast<int>(left) : kLanes;
            const F bias = epilogue.bias ? load_some(epilogue.bias + column, count) : S::zero();
            for (int r = 0; r < rows; ++r) {
                const std::int64_t row = first_row + r;
                F y = S::add(S::load(buffer + (r * vectors + v) * kLanes), bias);
                y = activate<S>(y, epilogue.activation);
                if (epilogue.gate) {
                    const std::int64_t gate =
                        epilogue.gate_rows == 1 ? row : row / epilogue.gate_rows;
                    y = S::mul(
                        y, load_some(epilogue.gate + gate * epilogue.gate_stride + column, count));
                }
                if (epilogue.residual) {
                    y = S::add(
                        load_some(epilogue.residual + row * epilogue.residual_stride + column,
                                  count),
                        y);
                }
                put(call, row * call.out_stride + column, y, count);
            }
        }
    }

    static void put(const GemmCall &call, std::int64_t at, F y, int count) {
        if (call.out_bf16) {
            std::uint16_t half[kLanes];
            S::store_bf16(count == kLanes ? call.out_bf16 + at : half, y);
            for (int i = 0; count < kLanes && i < count; ++i) call.out_bf16[at + i] = half[i];
        } else if (count == kLanes) {
            S::store(call.out + at, y);
        } else {
            S::store_first(call.out + at, y, count);
        }
    }

    // Calls the tile for `rows` rows, which is at most R.
    template <Kind kKind, int R, int V>
    static void tile_of(int rows, const GemmCall &call, std::int64_t panel, int first,
                        std::int64_t first_row, Ahead ahead) {
        if (rows == R) return tile<kKind, R, V>(call, panel, first, first_row, ahead);
        if constexpr (R > 1) tile_of<kKind, R - 1, V>(rows, call, panel, first, first_row, ahead);
    }

    template <Kind kKind>
    static void panel_of(const GemmCall &call, std::int64_t panel, std::int64_t begin,
                         std::int64_t end) {
        const std::int64_t rows = end - begin;
        const bool narrow = call.weight.columns - panel * kPanel <= 2 * kLanes;
        if (rows <= S::kWideRows && !narrow) {
            return tile_of<kKind, S::kWideRows, 4>(static_cast<int>(rows), call, panel, 0, begin,
                                                   Ahead::kNone);
        }
        const std::int64_t tiles = (rows + S::kMaxRows - 1) / S::kMaxRows;
        const std::int64_t column_bytes =
            call.weight.segments * call.weight.segment_length * (kKind == Kind::kF32 ? 4 : 2);
        const bool fetches = tiles > 1 && column_bytes <= kAheadColumnBytes;
        for (std::int64_t t = 0; t < tiles; ++t) { // of nearly equal height
            const std::int64_t first_row = begin + rows * t / tiles;
            const int height = static_cast<int>(begin + rows * (t + 1) / tiles - first_row);
            const Ahead ahead = !fetches || t + 2 < tiles ? Ahead::kNone
                                : t + 1 < tiles           ? Ahead::kEven
                                                          : Ahead::kOdd;
            for (int first = 0; first < (narrow ? 2 : 4); first += 2) {
                tile_of<kKind, S::kMaxRows, 2>(height, call, panel, first, first_row, ahead);
            }
        }
    }

    static void panel(const GemmCall &call, std::int64_t panel, std::int64_t begin,
                      std::int64_t end) {
        if (end <= begin) return;
        if (!call.weight.bf16) return panel_of<Kind::kF32>(call, panel, begin, end);
        panel_of<S::kDotBf16 ? Kind::kDot : Kind::kWiden>(call, panel, begin, end);
    }

    static void pack_panel(const float *const *columns, std::int64_t column_count,
                           std::int64_t segments, std::int64_t segment_length, bool bf16,
                           void *out) {
        for (std::int64_t half = 0; half < 2; ++half) {
            for (std::int64_t s = 0; s < segments; ++s) {
                const std::int64_t left = column_count - half * kHalf;
                if (bf16) {
                    out = pack_bf16(columns + half * kHalf, left, s * segment_length,
                                    segment_length, static_cast<std::uint16_t *>(out));
                } else {
                    out = pack_f32(columns + half * kHalf, left, s * segment_length, segment_length,
                                   static_cast<float *>(out));
                }
            }
        }
    }

    // Elements [begin, begin + length) of a half panel's columns; `count` may be anything.
    static void *pack_f32(const float *const *columns, std::int64_t count, std::int64_t begin,
                          std::int64_t length, float *to) {
        const std::int64_t present = count < 0 ? 0 : (count < kHalf ? count : kHalf);
        for (std::int64_t k = begin; k < begin + length; ++k, to += kHalf) {
            for (std::int64_t c = 0; c < present; ++c) to[c] = columns[c][k];
            for (std::int64_t c = present; c < kHalf; ++c) to[c] = 0;
        }
        return to;
    }

    static void *pack_bf16(const float *const *columns, std::int64_t count, std::int64_t begin,
                           std::int64_t length, std::uint16_t *to) {
        for (std::int64_t k = 0; k < length; k += 2, to += 2 * kHalf) {
            float pairs[2 * kHalf];
            for (std::int64_t c = 0; c < kHalf; ++c) {
                pairs[2 * c] = c < count ? columns[c][begin + k] : 0;
                pairs[2 * c + 1] = c < count && k + 1 < length ? columns[c][begin + k + 1] : 0;
            }
            for (int v = 0; v < kPanelVectors; ++v) {
                S::store_bf16(to + v * kLanes, S::load(pairs + v * kLanes));
            }
        }
        return to;
    }

    static void to_bf16(const float *x, std::int64_t n, std::uint16_t *out) {
        std::int64_t i = 0;
        for (; i + kLanes <= n; i += kLanes) S::store_bf16(out + i, S::load(x + i));
        if (i == n) return;
        std::uint16_t half[kLanes];
        S::store_bf16(half, S::load_first(x + i, static_cast<int>(n - i)));
        for (std::int64_t j = 0; i + j < (n + 1) / 2 * 2; ++j) out[i + j] = half[j];
    }
};

template <class S>
constexpr GemmKernels gemm_kernels() {
    return {.panel_columns = Gemm<S>::kPanel,
            .tile_rows = S::kMaxRows,
            .dot_bf16 = S::kDotBf16,
            .pack_panel = Gemm<S>::pack_panel,
            .panel = Gemm<S>::panel,
            .to_bf16 = Gemm<S>::to_bf16};
}

} // namespace tessera::cpu
