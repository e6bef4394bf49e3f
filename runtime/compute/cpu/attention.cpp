// attention: softmax(q k^T) v per head. Keys and values are packed once per head; then each piece
// takes a few queries through scores, softmax and sum, with the scores of a tile in the nearest
// cache.
#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"
#include "compute/operands.hpp"

#include <cmath>

namespace tessera::cpu {
namespace {

constexpr std::int64_t kTilesOfPiece = 4;

// One call, with everything that does not change inside it.
class AttentionCall {
  public:
    AttentionCall(Cpu &cpu, const tessera_tensor &query, const tessera_tensor &key,
                  const tessera_tensor &value, const tessera_attention &options,
                  const tessera_tensor &out)
        : cpu_(cpu), gemm_(cpu.kernels().gemm), kernels_(cpu.kernels().attention), query_(query),
          key_(key), value_(value), out_(out), options_(options), queries_(query.shape[1]),
          keys_(key.shape[1]), heads_(query.shape[2]), width_(query.shape[3]),
          rows_of_piece_(gemm_.tile_rows * kTilesOfPiece),
          blocks_((queries_ + rows_of_piece_ - 1) / rows_of_piece_),
          score_stride_(padded_stride(keys_)), query_stride_(padded_stride(width_)) {
        key_matrix_.columns = keys_;
        key_matrix_.segment_length = width_;
        value_matrix_.columns = width_;
        value_matrix_.segment_length = keys_;
        key_bytes_ = packed_bytes(gemm_, key_matrix_);
        value_bytes_ = packed_bytes(gemm_, value_matrix_);
        scale_ = options.scale != 0 ? options.scale : 1.0f / std::sqrt(static_cast<float>(width_));
    }

    void run() {
        const std::int64_t heads = query_.shape[0] * heads_;
        const unsigned threads = cpu_.pool().thread_count();
        packed_ = cpu_.scratch<std::byte>(Scratch::kA, heads * (key_bytes_ + value_bytes_));
        scores_ = cpu_.scratch<float>(Scratch::kB, threads * tile_floats());
        if (!packed_ || !scores_ || !make_ranks()) return;
        cpu_.pool().run([&](Region &region) {
            region.for_each(heads, [&](std::int64_t head) { pack(head); });
            region.for_each(heads * blocks_, [&](std::int64_t piece) {
                run_piece(piece, scores_ + region.thread_index() * tile_floats());
            });
        });
    }

  private:
    [[nodiscard]] std::int64_t tile_floats() const {
        return gemm_.tile_rows * (score_stride_ + query_stride_);
    }

    // Key ranks lie side by side for the kernels: (batch or 1, keys).
    bool make_ranks() {
        if (options_.rule == TESSERA_RANK_ALL) return true;
        const tessera_tensor *given = options_.key_rank;
        rank_batches_ = given && given->rank == 2 ? given->shape[0] : 1;
        key_ranks_ = cpu_.scratch<std::int32_t>(Scratch::kC, rank_batches_ * keys_);
        if (!key_ranks_) return false;
        for (std::int64_t b = 0; b < rank_batches_; ++b) {
            for (std::int64_t k = 0; k < keys_; ++k)
                key_ranks_[b * keys_ + k] = rank_of(given, b, k);
        }
        return true;
    }

    static std::int32_t rank_of(const tessera_tensor *ranks, std::int64_t batch, std::int64_t i) {
        if (!ranks) return static_cast<std::int32_t>(i);
        const std::int64_t at =
            ranks->rank == 2
                ? (ranks->shape[0] == 1 ? 0 : batch) * ranks->stride[0] + i * ranks->stride[1]
                : i * ranks->stride[0];
        return static_cast<const std::int32_t *>(ranks->data)[at];
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
        kernels_.pack_values(row(value_, head, 0), value_.stride[1], keys_, width_,
                             reinterpret_cast<float *>(to));
    }

    void run_piece(std::int64_t piece, float *own) {
        const std::int64_t head = piece / blocks_;
        const std::int64_t begin = piece % blocks_ * rows_of_piece_;
        const std::int64_t end = std::min(queries_, begin + rows_of_piece_);
        for (std::int64_t first = begin; first < end; first += gemm_.tile_rows) {
            run_tile(head, first, std::min(gemm_.tile_rows, end - first), own);
        }
    }

    void run_tile(std::int64_t head, std::int64_t first, std::int64_t count, float *scores) {
        float *queries = scores + gemm_.tile_rows * score_stride_;
        for (std::int64_t i = 0; i < count; ++i) {
            kernels_.scale(row(query_, head, first + i), width_, scale_,
                           queries + i * query_stride_);
        }
        const std::byte *packed = packed_ + head * (key_bytes_ + value_bytes_);
        multiply(key_matrix_, packed, queries, query_stride_, count, scores, score_stride_);

        float factors[kMaxTileRows];
        for (std::int64_t i = 0; i < count; ++i) {
            factors[i] =
                kernels_.softmax(scores + i * score_stride_, keys_, filter(head, first + i));
        }
        float *out = row(out_, head, first);
        multiply(value_matrix_, packed + key_bytes_, scores, score_stride_, count, out,
                 out_.stride[1]);
        for (std::int64_t i = 0; i < count; ++i) {
            float *to = out + i * out_.stride[1];
            kernels_.scale(to, width_, factors[i], to);
        }
    }

    void multiply(PackedMatrix matrix, const std::byte *data, const float *a, std::int64_t a_stride,
                  std::int64_t rows, float *out, std::int64_t out_stride) const {
        matrix.data = data;
        const GemmCall call{.weight = matrix,
                            .a = a,
                            .a_stride = a_stride,
                            .rows = rows,
                            .out = out,
                            .out_stride = out_stride,
                            .epilogue = {}};
        const std::int64_t panels = panel_count(gemm_, matrix);
        for (std::int64_t panel = 0; panel < panels; ++panel) gemm_.panel(call, panel, 0, rows);
    }

    [[nodiscard]] KeyFilter filter(std::int64_t head, std::int64_t query) const {
        KeyFilter filter;
        filter.rule = options_.rule;
        filter.sink_count = options_.sink_count;
        filter.sinks_only = options_.sink_isolated != 0 && query < filter.sink_count;
        if (filter.rule != TESSERA_RANK_ALL) {
            const std::int64_t batch = head / heads_;
            filter.query_rank = rank_of(options_.query_rank, batch, query);
            filter.key_rank = key_ranks_ + (rank_batches_ == 1 ? 0 : batch) * keys_;
        }
        return filter;
    }

    Cpu &cpu_;
    const GemmKernels &gemm_;
    const AttentionKernels &kernels_;
    const tessera_tensor &query_, &key_, &value_, &out_;
    const tessera_attention &options_;
    const std::int64_t queries_, keys_, heads_, width_;
    const std::int64_t rows_of_piece_, blocks_;
    const std::int64_t score_stride_, query_stride_;
    PackedMatrix key_matrix_, value_matrix_;
    std::int64_t key_bytes_ = 0, value_bytes_ = 0;
    std::byte *packed_ = nullptr;       // (batch * heads): keys, then values
    float *scores_ = nullptr;           // per thread: a tile's scores, then its queries
    std::int32_t *key_ranks_ = nullptr; // (batch or 1, keys)
    std::int64_t rank_batches_ = 1;
    float scale_ = 1;
};

} // namespace

void attention(Cpu &cpu, const tessera_tensor &query, const tessera_tensor &key,
               const tessera_tensor &value, const tessera_attention &options,
               const tessera_tensor &out) {
    if (!accepted(cpu, "attention", operands::attention(&query, &key, &value, options, &out))) {
        return;
    }
    if (*element_count(out) == 0) return;
    AttentionCall(cpu, query, key, value, options, out).run();
}

} // namespace tessera::cpu
