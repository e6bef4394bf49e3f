#include "onednn.hpp"

#include <dnnl.hpp>
#include <omp.h>

#include <cstring>
#include <unordered_map>

namespace tessera::testing {

namespace {

using Tag = dnnl::memory::format_tag;
constexpr auto kF32 = dnnl::memory::data_type::f32;

dnnl::memory holding(const dnnl::engine &engine, const dnnl::memory::desc &layout,
                     const std::vector<float> &values) {
    dnnl::memory memory(layout, engine);
    std::memcpy(memory.get_data_handle(), values.data(), values.size() * sizeof(float));
    return memory;
}

dnnl::memory reordered(const dnnl::engine &engine, dnnl::stream &stream, dnnl::memory from,
                       const dnnl::memory::desc &layout) {
    if (from.get_desc() == layout) return from;
    dnnl::memory to(layout, engine);
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
    return to;
}

} // namespace

struct OneDnnConv::State {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    dnnl::convolution_forward::primitive_desc description;
    dnnl::convolution_forward primitive;
    std::unordered_map<int, dnnl::memory> arguments;
    dnnl::memory::desc out_layout; // channels-last
    int threads = 1;
};

OneDnnConv::OneDnnConv(std::unique_ptr<State> state) : state_(std::move(state)) {}
OneDnnConv::~OneDnnConv() = default;

std::unique_ptr<OneDnnConv> OneDnnConv::create(const OneDnnConvShape &s, OneDnnAlgorithm algorithm,
                                               int threads, const std::vector<float> &x,
                                               const std::vector<float> &weight,
                                               const std::vector<float> &bias) {
    omp_set_num_threads(threads);
    auto state = std::make_unique<State>();
    state->threads = threads;
    const std::int64_t height = (s.height + s.pad_top + s.pad_bottom - s.kernel) / s.stride + 1;
    const std::int64_t width = (s.width + s.pad_left + s.pad_right - s.kernel) / s.stride + 1;
    const dnnl::memory::dims x_dims{s.batch, s.in, s.height, s.width};
    const dnnl::memory::dims weight_dims{s.out, s.in, s.kernel, s.kernel};
    const dnnl::memory::dims out_dims{s.batch, s.out, height, width};
    const auto any = [](const dnnl::memory::dims &dims) {
        return dnnl::memory::desc(dims, kF32, Tag::any);
    };
    try {
        state->description = dnnl::convolution_forward::primitive_desc(
            dnnl::convolution_forward::desc(
                dnnl::prop_kind::forward_inference,
                algorithm == OneDnnAlgorithm::kWinograd ? dnnl::algorithm::convolution_winograd
                                                        : dnnl::algorithm::convolution_direct,
                any(x_dims), any(weight_dims), dnnl::memory::desc({s.out}, kF32, Tag::x),
                any(out_dims), {s.stride, s.stride}, {s.pad_top, s.pad_left},
                {s.pad_bottom, s.pad_right}),
            state->engine);
    } catch (const dnnl::error &) {
        return nullptr;
    }
    dnnl::engine &engine = state->engine;
    dnnl::stream &stream = state->stream;
    state->primitive = dnnl::convolution_forward(state->description);
    state->out_layout = dnnl::memory::desc(out_dims, kF32, Tag::nhwc);
    const auto source = holding(engine, dnnl::memory::desc(x_dims, kF32, Tag::nhwc), x);
    const auto filter = holding(engine, dnnl::memory::desc(weight_dims, kF32, Tag::oihw), weight);
    state->arguments = {
        {DNNL_ARG_SRC, reordered(engine, stream, source, state->description.src_desc())},
        {DNNL_ARG_WEIGHTS, reordered(engine, stream, filter, state->description.weights_desc())},
        {DNNL_ARG_BIAS, holding(engine, dnnl::memory::desc({s.out}, kF32, Tag::x), bias)},
        {DNNL_ARG_DST, dnnl::memory(state->description.dst_desc(), engine)}};
    return std::unique_ptr<OneDnnConv>(new OneDnnConv(std::move(state)));
}

void OneDnnConv::run() {
    omp_set_num_threads(state_->threads);
    state_->primitive.execute(state_->stream, state_->arguments);
    state_->stream.wait();
}

std::vector<float> OneDnnConv::result() const {
    const dnnl::memory plain = reordered(state_->engine, state_->stream,
                                         state_->arguments.at(DNNL_ARG_DST), state_->out_layout);
    std::vector<float> values(state_->out_layout.get_size() / sizeof(float));
    std::memcpy(values.data(), plain.get_data_handle(), values.size() * sizeof(float));
    return values;
}

std::string OneDnnConv::implementation() const { return state_->description.impl_info_str(); }

std::vector<float> onednn_linear(std::int64_t rows, std::int64_t in, std::int64_t out,
                                 const std::vector<float> &x, const std::vector<float> &weight,
                                 const std::vector<float> &bias) {
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    const dnnl::memory::desc x_layout({rows, in}, kF32, Tag::nc);
    const dnnl::memory::desc weight_layout({out, in}, kF32, Tag::oi);
    const dnnl::memory::desc bias_layout({out}, kF32, Tag::x);
    const dnnl::memory::desc out_layout({rows, out}, kF32, Tag::nc);
    const dnnl::inner_product_forward::primitive_desc description(
        dnnl::inner_product_forward::desc(dnnl::prop_kind::forward_inference, x_layout,
                                          weight_layout, bias_layout, out_layout),
        engine);
    dnnl::memory result(out_layout, engine);
    dnnl::inner_product_forward(description)
        .execute(stream, {{DNNL_ARG_SRC, holding(engine, x_layout, x)},
                          {DNNL_ARG_WEIGHTS, holding(engine, weight_layout, weight)},
                          {DNNL_ARG_BIAS, holding(engine, bias_layout, bias)},
                          {DNNL_ARG_DST, result}});
    stream.wait();
    std::vector<float> values(static_cast<std::size_t>(rows * out));
    std::memcpy(values.data(), result.get_data_handle(), values.size() * sizeof(float));
    return values;
}

} // namespace tessera::testing
