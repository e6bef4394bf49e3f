// Recorded operations against the same calls: what replays read, what they keep, and what is
// refused.
#include "devices.hpp"
#include "harness.hpp"

#include <tessera/ext/compute_graph.h>

#include <functional>

namespace tessera::testing {
namespace {

class GraphTest : public DeviceTest {
  protected:
    [[nodiscard]] const tessera_ext_compute_graph &graphs() const {
        return *static_cast<const tessera_ext_compute_graph *>(
            device().get_extension(&device(), TESSERA_EXT_COMPUTE_GRAPH));
    }
    [[nodiscard]] tessera_status record(const std::function<void()> &calls,
                                        tessera_graph **out) const {
        return graphs().record(
            &device(),
            [](void *context) { (*static_cast<const std::function<void()> *>(context))(); },
            const_cast<std::function<void()> *>(&calls), out);
    }
};
TESSERA_ON_DEVICES(GraphTest, backend_configs());

// A small network with all that a graph has to keep: ranks and indices of the host, scratch memory
// (bf16 products), indices of the device.
class Network {
  public:
    explicit Network(const tessera_compute &compute)
        : compute_(compute), weight_(compute, random_array({32, 32}, 1, 0.2), TESSERA_DTYPE_BF16),
          ranks_(Indices{2, 0, 1, 3, 5, 4}, Shape{6}), order_(Indices{5, 4, 3, 2, 1, 0}, Shape{6}),
          chosen_(compute, Indices{0, 3, 3, 1, 2, 5}, Shape{6}),
          x(compute, random_array({1, 6, 32}, 2)), h_(compute, Shape{1, 6, 32}),
          picked_(compute, Shape{1, 6, 32}), out(compute, Shape{1, 6, 32}) {}

    void run() const {
        compute_.linear(&compute_, x.view(), weight_.view(), nullptr, h_.view());
        compute_.gather_rows(&compute_, h_.view(), order_.view(), picked_.view());
        tessera_attention options{};
        options.struct_size = sizeof options;
        options.rule = TESSERA_RANK_LESS_OR_EQUAL;
        options.query_rank = ranks_.view();
        options.key_rank = ranks_.view();
        const tessera_tensor heads = as_heads(*picked_.view());
        const tessera_tensor to = as_heads(*h_.view());
        compute_.attention(&compute_, &heads, &heads, &heads, &options, &to);
        compute_.gather_rows(&compute_, h_.view(), chosen_.view(), out.view());
    }

  private:
    static tessera_tensor as_heads(const tessera_tensor &tensor) {
        tessera_tensor heads = tensor;
        heads.rank = 4;
        heads.shape[2] = 2;
        heads.shape[3] = 16;
        heads.stride[2] = 16;
        heads.stride[3] = 1;
        return heads;
    }
    const tessera_compute &compute_;
    PackedWeight weight_;
    HostTensor ranks_, order_;

  public:
    DeviceTensor chosen_, x, h_, picked_, out;
};

void put(const tessera_compute &compute, const Array &values, const DeviceTensor &to) {
    const HostTensor source(values);
    compute.upload(&compute, source.view(), to.view());
}

TEST_P(GraphTest, ReplaysGiveWhatTheCallsGive) {
    const Network network(device());
    network.run();
    const Array first = network.out.download();
    const Array other = random_array({1, 6, 32}, 9);
    put(device(), other, network.x);
    network.run();
    const Array second = network.out.download();

    put(device(), random_array({1, 6, 32}, 2), network.x);
    const std::function<void()> calls = [&] { network.run(); };
    tessera_graph *graph = nullptr;
    ASSERT_EQ(record(calls, &graph), TESSERA_OK);
    expect_identical(network.out.download(), first, "a recording runs");
    put(device(), other, network.x);
    graphs().replay(&device(), graph);
    expect_identical(network.out.download(), second, "a replay");
    // Indices of the device are read at each replay.
    const Indices turned{5, 2, 1, 3, 3, 0};
    const HostTensor indices(turned, {6});
    device().upload(&device(), indices.view(), network.chosen_.view());
    graphs().replay(&device(), graph);
    expect_identical(network.out.download(),
                     reference::gather_rows(network.h_.download(), turned, 6), "other indices");
    graphs().destroy(&device(), graph);
}

// What happens in between does not reach into a graph: other tables, more scratch memory.
TEST_P(GraphTest, OtherWorkInBetweenDoesNotMatter) {
    const Network network(device());
    const std::function<void()> calls = [&] { network.run(); };
    tessera_graph *graph = nullptr;
    ASSERT_EQ(record(calls, &graph), TESSERA_OK);
    const Array want = network.out.download();
    const PackedWeight wide(device(), random_array({256, 512}, 3), TESSERA_DTYPE_BF16);
    const DeviceTensor many(device(), random_array({300, 512}, 4));
    const DeviceTensor sums(device(), Shape{300, 256});
    device().linear(&device(), many.view(), wide.view(), nullptr, sums.view());
    const DeviceTensor rows(device(), random_array({1, 40, 8}, 5));
    const DeviceTensor to(device(), Shape{1, 6, 8});
    for (std::int32_t i = 0; i < 30; ++i) {
        const HostTensor index(Indices{i, 1, 2, 3, 4, 5}, {6});
        device().gather_rows(&device(), rows.view(), index.view(), to.view());
    }
    device().fill(&device(), 0.0F, network.out.view());
    graphs().replay(&device(), graph);
    expect_identical(network.out.download(), want, "after other work");
    graphs().replay(&device(), graph);
    graphs().destroy(&device(), graph); // while it may still run
    expect_identical(network.out.download(), want, "destroyed at once");
}

TEST_P(GraphTest, OnlyOperationsAreRecorded) {
    const DeviceTensor x(device(), random_array({4, 4}, 1));
    std::vector<float> numbers(16);
    tessera_tensor host = *x.view();
    host.data = numbers.data();
    host.memory = TESSERA_MEMORY_HOST;
    const std::function<void()> refused[] = {
        [&] { device().upload(&device(), &host, x.view()); },
        [&] { device().download(&device(), x.view(), &host); },
        [&] {
            tessera_tensor wanted = *x.view();
            (void)device().allocate(&device(), &wanted);
        },
        [&] { device().fill(&device(), 0.0F, nullptr); },
    };
    for (const auto &calls : refused) {
        tessera_graph *graph = nullptr;
        EXPECT_NE(record(calls, &graph), TESSERA_OK);
        EXPECT_EQ(graph, nullptr);
        EXPECT_NE(device().synchronize(&device()), TESSERA_OK);
        EXPECT_EQ(device().synchronize(&device()), TESSERA_OK);
    }
    // And all is well again.
    tessera_graph *graph = nullptr;
    const std::function<void()> calls = [&] { device().fill(&device(), 2.0F, x.view()); };
    ASSERT_EQ(record(calls, &graph), TESSERA_OK);
    graphs().replay(&device(), graph);
    EXPECT_EQ(x.download()[5], 2.0);
    graphs().destroy(&device(), graph);
    graphs().destroy(&device(), nullptr);
}

} // namespace
} // namespace tessera::testing
