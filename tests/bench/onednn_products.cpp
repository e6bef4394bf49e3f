#include "onednn_products.hpp"

#include <dnnl.hpp>
#include <omp.h>

#include <cstring>
#include <unordered_map>
#include <vector>

namespace tessera::bench {
namespace {

using Dims = dnnl::memory::dims;
using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

struct Call {
    dnnl::primitive primitive;
    std::unordered_map<int, dnnl::memory> arguments;
};

// Memory of small numbers: zeros would be a special case for some machines, denormals for all.
dnnl::memory filled(const dnnl::memory::desc &layout, const dnnl::engine &engine) {
    dnnl::memory memory(layout, engine);
    std::vector<std::uint16_t> halves(layout.get_size() / 2);
    for (std::size_t i = 0; i < halves.size(); ++i) {
        halves[i] = static_cast<std::uint16_t>(0x3c00 + i % 97); // bf16 and, in pairs, float32
    }
    std::memcpy(memory.get_data_handle(), halves.data(), halves.size() * 2);
    return memory;
}

} // namespace

struct OneDnn::State {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    std::vector<Call> linear, attention;

    void run(const std::vector<Call> &calls) {
        for (const Call &call : calls) call.primitive.execute(stream, call.arguments);
        stream.wait();
    }
};

OneDnn::OneDnn() : state_(std::make_unique<State>()) {}
OneDnn::~OneDnn() = default;

void OneDnn::set_threads(int threads) { omp_set_num_threads(threads); }

bool OneDnn::make_linear(std::int64_t rows, std::int64_t in, std::int64_t out, bool bf16) try {
    const Type type = bf16 ? Type::bf16 : Type::f32;
    const dnnl::memory::desc a({rows, in}, type, Tag::ab);
    const dnnl::memory::desc w({in, out}, type, Tag::any);
    const dnnl::memory::desc c({rows, out}, Type::f32, Tag::ab);
    const dnnl::matmul::primitive_desc description({a, w, c}, state_->engine);
    state_->linear = {{dnnl::matmul(description),
                       {{DNNL_ARG_SRC, filled(a, state_->engine)},
                        {DNNL_ARG_WEIGHTS, filled(description.weights_desc(), state_->engine)},
                        {DNNL_ARG_DST, dnnl::memory(c, state_->engine)}}}};
    return true;
} catch (const dnnl::error &) {
    return false;
}

void OneDnn::run_linear() { state_->run(state_->linear); }

bool OneDnn::make_attention(std::int64_t heads, std::int64_t tokens, std::int64_t width) try {
    const dnnl::memory::desc rows({heads, tokens, width}, Type::f32, Tag::abc);
    const dnnl::memory::desc columns({heads, width, tokens}, Type::f32, Tag::acb);
    const dnnl::memory::desc scores({heads, tokens, tokens}, Type::f32, Tag::abc);
    const auto &engine = state_->engine;
    const auto q = filled(rows, engine);
    const auto k = filled(columns, engine);
    const auto v = filled(rows, engine);
    const dnnl::memory s(scores, engine);
    const dnnl::memory out(rows, engine);
    state_->attention = {
        {dnnl::matmul({{rows, columns, scores}, engine}),
         {{DNNL_ARG_SRC, q}, {DNNL_ARG_WEIGHTS, k}, {DNNL_ARG_DST, s}}},
        {dnnl::softmax_forward({{dnnl::prop_kind::forward_inference, scores, 2}, engine}),
         {{DNNL_ARG_SRC, s}, {DNNL_ARG_DST, s}}},
        {dnnl::matmul({{scores, rows, rows}, engine}),
         {{DNNL_ARG_SRC, s}, {DNNL_ARG_WEIGHTS, v}, {DNNL_ARG_DST, out}}}};
    return true;
} catch (const dnnl::error &) {
    return false;
}

void OneDnn::run_attention() { state_->run(state_->attention); }

} // namespace tessera::bench
