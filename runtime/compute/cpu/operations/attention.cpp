// attention: softmax(q k^T) v per head. Keys and values are packed once per head; then each piece
// takes a few queries through scores, softmax and sum, with the scores of a tile in the nearest
// cache. Under a mask, keys come in blocks (the panels of the packed keys), and blocks that no
// query of a tile sees are left out.
#include "compute/cpu/operations/attention_mask.hpp"
#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"

#include <cmath>

namespace tessera::cpu {
namespace {

constexpr std::int64_t kTilesOfPiece = 4;

bool all_finite(const float *values, std::int64_t n) {
    bool finite = true;
    for (std::int64_t i = 0; i < n; ++i) finite &= std::isfinite(values[i]);
    return finite;
}

// One call, with everything that does not change inside it.
class AttentionCall {
  public:
    AttentionCall(Cpu &cpu, const tessera_tensor &query, const tessera_tensor &key,
                  const tessera_tensor &value, const tessera_attention &options,
                  const tessera_tensor &out)
        : cpu_(cpu), gemm_(cpu.kernels().gemm), kernels_(cpu.kernels().attention), query_(query),
          key_(key), value_(value), out_(out),
          mask_(options, key.shape[1], cpu.kernels().gemm.panel_columns), queries_(query.shape[1]),
          keys_(key.shape[1]), heads_(query.shape[2]), width_(query.shape[3]),
          padded_keys_(mask_.hides() ? mask_.blocks() * gemm_.panel_columns : keys_),
          rows_of_piece_(gemm_.tile_rows * kTilesOfPiece),
          blocks_((queries_ + rows_of_piece_ - 1) / rows_of_piece_),
          score_stride_(padded_stride(padded_keys_)), query_stride_(padded_stride(width_)) {
        key_matrix_.columns = keys_;
        key_matrix_.segment_length = width_;
        value_matrix_.columns = width_;
        value_matrix_.segment_length = padded_keys_;
        key_bytes_ = packed_bytes(gemm_, key_matrix_);
        value_bytes_ = packed_bytes(gemm_, value_matrix_);
        scale_ = options.scale != 0 ? options.scale : 1.0f / std::sqrt(static_cast<float>(width_));
    }

    void run() {
        const std::int64_t heads = query_.shape[0] * heads_;
        const unsigned threads = cpu_.pool().thread_count();
        packed_ = cpu_.scratch<std::byte>(Scratch::kA, heads * (key_bytes_ + value_bytes_));
        scores_ = cpu_.scratch<float>(Scratch::kB, threads * tile_floats());
        finite_ = cpu_.scratch<std::uint8_t>(Scratch::kD, heads);
        if (!packed_ || !scores_ || !finite_ || !mask_.prepare(cpu_)) return;
        cpu_.pool().run([&](Region &region) {
            region.for_each(heads, [&](std::int64_t head) { pack(head); });
            region.for_each(heads * blocks_, [&](std::int64_t piece) {
                run_piece(piece, scores_ + region.thread_index() * tile_floats());
            });
        });
    }

  private:
    [[nodiscard]] std::int64_t tile_floats() const {
        const std::int64_t skip_floats = padded_stride(padded_keys_) / 4;
        return gemm_.tile_rows * (score_stride_ + query_stride_) + skip_floats;
    }

    // Row i of a head; head counts (batch, head).
    [[nodiscard]] float *row(const tessera_tensor &tensor, std::int64_t head,
                             std::int64_t i) const {
        return data_of(tensor) + head / heads_ * tensor.stride[0] + i * tensor.stride[1] +
               head % heads_ * tensor.stride[2];
    }

    void pack(std::int64_t head) {
        std::byte *to = packed_ + head * (key_bytes_ + value_bytes_);
        for (std::int64_t first = 0; first < keys_; first += gemm_.panel_columns) {
            const std::int64_t count = std::min(gemm_.panel_columns, keys_ - first);
            const float *columns[kMaxPanelColumns];
            for (std::int64_t k = 0; k < count; ++k) columns[k] = row(key_, head, first + k);
            gemm_.pack_panel(columns, count, 1, width_, false, to);
            to += panel_bytes(gemm_, key_matrix_);
        }
        kernels_.pack_values(row(value_, head, 0), value_.stride[1], keys_, padded_keys_, width_,
                             reinterpret_cast<float *>(to));
        bool finite = true;
        for (std::int64_t k = 0; k < keys_ && mask_.hides(); ++k)
            finite &= all_finite(row(value_, head, k), width_);
        finite_[head] = finite ? 1 : 0;
    }

    void run_piece(std::int64_t piece, float *own) {
        const std::int64_t head = piece / blocks_;
        const std::int64_t begin = piece % blocks_ * rows_of_piece_;
        const std::int64_t end = std::min(queries_, begin + rows_of_piece_);
        for (std::int64_t first = begin; first < end; first += gemm_.tile_rows) {
            const std::int64_t count = std::min(gemm_.tile_rows, end - first);
            if (mask_.hides())
                run_masked_tile(head, first, count, own);
            else
                run_tile(head, first, count, own);
        }
    }

    float *scale_queries(std::int64_t head, std::int64_t first, std::int64_t count,
                         float *scores) const {
        float *queries = scores + gemm_.tile_rows * score_stride_;
        for (std::int64_t i = 0; i < count; ++i) {
            kernels_.scale(row(query_, head, first + i), width_, scale_,
                           queries + i * query_stride_);
        }
        return queries;
    }

    void scale_outputs(std::int64_t head, std::int64_t first, std::int64_t count,
                       const float *factors) const {
        for (std::int64_t i = 0; i < count; ++i) {
            float *to = row(out_, head, first + i);
            kernels_.scale(to, width_, factors[i], to);
        }
    }

    void run_tile(std::int64_t head, std::int64_t first, std::int64_t count, float *scores) const {
        const float *queries = scale_queries(head, first, count, scores);
        const std::byte *packed = packed_ + head * (key_bytes_ + value_bytes_);
        multiply(
            product(key_matrix_, packed, queries, query_stride_, count, scores, score_stride_));
        float factors[kMaxTileRows];
        for (std::int64_t i = 0; i < count; ++i)
            factors[i] = kernels_.softmax(scores + i * score_stride_, keys_, KeyFilter{});
        multiply(product(value_matrix_, packed + key_bytes_, scores, score_stride_, count,
                         row(out_, head, first), out_.stride[1]));
        scale_outputs(head, first, count, factors);
    }

    void run_masked_tile(std::int64_t head, std::int64_t first, std::int64_t count,
                         float *scores) const {
        const float *queries = scale_queries(head, first, count, scores);
        auto *skip = reinterpret_cast<std::uint8_t *>(scores + gemm_.tile_rows *
                                                                   (score_stride_ + query_stride_));
        const std::int64_t image = head / heads_;
        const AttentionMask::Blocks seen = mask_.visible(image, first, count, skip);
        const std::byte *packed = packed_ + head * (key_bytes_ + value_bytes_);
        const GemmCall score_call =
            product(key_matrix_, packed, queries, query_stride_, count, scores, score_stride_);
        for (std::int64_t block = seen.begin; block < seen.end; ++block)
            if (skip[block] == 0) gemm_.panel(score_call, block, 0, count);

        const std::int64_t begin = seen.begin * gemm_.panel_columns;
        const std::int64_t end = std::min(keys_, seen.end * gemm_.panel_columns);
        float factors[kMaxTileRows] = {};
        for (std::int64_t i = 0; i < count && begin < end; ++i) {
            float *row_scores = scores + i * score_stride_;
            factors[i] = kernels_.softmax(row_scores + begin, end - begin,
                                          mask_.filter(image, first + i, begin));
            std::fill(row_scores + keys_, row_scores + padded_keys_, 0.0f);
        }
        sum_values(head, first, count, scores, skip);
        scale_outputs(head, first, count, factors);
    }

    // Probabilities times values, without the blocks to skip. A value that is not finite would
    // reach queries that do not see it, as 0 times it: then every query leaves out its own keys, in
    // the same order of sums. `skip` is overwritten.
    void sum_values(std::int64_t head, std::int64_t first, std::int64_t count, const float *scores,
                    std::uint8_t *skip) const {
        const std::byte *packed = packed_ + head * (key_bytes_ + value_bytes_) + key_bytes_;
        PackedMatrix values = value_matrix_;
        if (finite_[head] != 0) {
            values.segments = mask_.blocks();
            values.segment_length = gemm_.panel_columns;
            GemmCall call = product(values, packed, scores, score_stride_, count,
                                    row(out_, head, first), out_.stride[1]);
            call.skip = skip;
            return multiply(call);
        }
        values.segments = padded_keys_;
        values.segment_length = 1;
        for (std::int64_t i = 0; i < count; ++i) {
            for (std::int64_t k = 0; k < padded_keys_; ++k) {
                const bool seen = k < keys_ && mask_.sees(head / heads_, first + i, k);
                skip[k] = seen ? 0 : 1;
            }
            GemmCall call = product(values, packed, scores + i * score_stride_, score_stride_, 1,
                                    row(out_, head, first + i), out_.stride[1]);
            call.skip = skip;
            multiply(call);
        }
    }

    static GemmCall product(PackedMatrix matrix, const std::byte *data, const float *a,
                            std::int64_t a_stride, std::int64_t rows, float *out,
                            std::int64_t out_stride) {
        GemmCall call;
        call.weight = matrix;
        call.weight.data = data;
        call.a = a;
        call.a_stride = a_stride;
        call.rows = rows;
        call.out = out;
        call.out_stride = out_stride;
        return call;
    }

    void multiply(const GemmCall &call) const {
        const std::int64_t panels = panel_count(gemm_, call.weight);
        for (std::int64_t panel = 0; panel < panels; ++panel)
            gemm_.panel(call, panel, 0, call.rows);
    }

    Cpu &cpu_;
    const GemmKernels &gemm_;
    const AttentionKernels &kernels_;
    const tessera_tensor &query_, &key_, &value_, &out_;
    AttentionMask mask_;
    const std::int64_t queries_, keys_, heads_, width_;
    const std::int64_t padded_keys_; // whole blocks under a mask
    const std::int64_t rows_of_piece_, blocks_;
    const std::int64_t score_stride_, query_stride_;
    PackedMatrix key_matrix_, value_matrix_;
    std::int64_t key_bytes_ = 0, value_bytes_ = 0;
    std::byte *packed_ = nullptr;    // (batch * heads): keys, then values
    float *scores_ = nullptr;        // per thread: a tile's scores, its queries, blocks to skip
    std::uint8_t *finite_ = nullptr; // (batch * heads): whether all values are; under a mask
    float scale_ = 1;
};

} // namespace

void attention(Cpu &cpu, const tessera_tensor &query, const tessera_tensor &key,
               const tessera_tensor &value, const tessera_attention &options,
               const tessera_tensor &out) {
    AttentionCall(cpu, query, key, value, options, out).run();
}

} // namespace tessera::cpu
