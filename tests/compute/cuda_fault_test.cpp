// Every call to CUDA of a small run fails once in turn, on the execution double: each failure comes
// back as a status, nothing is left behind, and the next compute works.
#include "harness.hpp"

#include "compute/registry.hpp"
#include "core/log.hpp"

#include <tessera/ext/compute_denoise.h>
#include <tessera/ext/cuda.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <dlfcn.h>
#include <numeric>

namespace tessera::testing {
namespace {

// The double's switches (tests/compute/cuda_double/runtime.cpp).
class Double {
  public:
    Double() : library_(dlopen(TESSERA_CUDA_DOUBLE, RTLD_NOW | RTLD_LOCAL)) {}
    ~Double() { dlclose(library_); }
    Double(const Double &) = delete;
    Double &operator=(const Double &) = delete;
    void fail(long calls, int error) const {
        reinterpret_cast<void (*)(long, int)>(dlsym(library_, "tessera_cuda_double_fail"))(calls,
                                                                                           error);
    }
    [[nodiscard]] long calls() const { return ask("tessera_cuda_double_calls"); }
    [[nodiscard]] long live() const { return ask("tessera_cuda_double_live"); }

  private:
    [[nodiscard]] long ask(const char *name) const {
        return reinterpret_cast<long (*)()>(dlsym(library_, name))();
    }
    void *library_;
};

tessera_tensor tensor_of(std::initializer_list<std::int64_t> shape, void *data = nullptr) {
    tessera_tensor tensor{};
    tensor.data = data;
    tensor.dtype = TESSERA_DTYPE_F32;
    for (std::int64_t &extent : tensor.shape) extent = 1;
    for (const std::int64_t extent : shape) tensor.shape[tensor.rank++] = extent;
    std::int64_t stride = 1;
    for (std::int32_t i = tensor.rank; i-- > 0;) {
        tensor.stride[i] = stride;
        stride *= tensor.shape[i];
    }
    return tensor;
}

// Tensors and weights of one run; what could be made is given back.
class Run {
  public:
    explicit Run(const tessera_compute &compute) : compute_(compute) {}
    ~Run() {
        if (chain_ != nullptr) denoise().destroy(&compute_, chain_);
        for (tessera_tensor &tensor : tensors_) compute_.release(&compute_, &tensor);
    }
    Run(const Run &) = delete;
    Run &operator=(const Run &) = delete;

    // The status of the first thing that failed.
    tessera_status go(std::vector<float> &result) {
        for (const tessera_dtype precision : {TESSERA_DTYPE_BF16, TESSERA_DTYPE_F32}) {
            if (const tessera_status status = multiply(precision); status != TESSERA_OK)
                return status;
        }
        if (const tessera_status status = chain(); status != TESSERA_OK) return status;
        tessera_tensor out = tensor_of({4, 8}, result.data());
        compute_.download(&compute_, x_, &out);
        return compute_.synchronize(&compute_);
    }

  private:
    [[nodiscard]] const tessera_ext_compute_denoise &denoise() const {
        return *static_cast<const tessera_ext_compute_denoise *>(
            compute_.get_extension(&compute_, TESSERA_EXT_COMPUTE_DENOISE));
    }
    tessera_status allocate(std::initializer_list<std::int64_t> shape, const tessera_tensor **out) {
        tessera_tensor tensor = tensor_of(shape);
        const tessera_status status = compute_.allocate(&compute_, &tensor);
        if (status != TESSERA_OK) return status;
        tensors_.push_back(tensor);
        *out = &tensors_.back();
        compute_.fill(&compute_, 0.25F, *out);
        return TESSERA_OK;
    }
    tessera_status pack(std::int64_t rows, std::int64_t columns, tessera_dtype precision,
                        const tessera_tensor **out) {
        std::vector<float> numbers(static_cast<std::size_t>(rows * columns));
        for (std::size_t i = 0; i < numbers.size(); ++i)
            numbers[i] = static_cast<float>(i % 7) * 0.1F;
        const tessera_tensor weight = tensor_of({rows, columns}, numbers.data());
        tessera_tensor packed{};
        const tessera_status status = compute_.pack_linear(&compute_, &weight, precision, &packed);
        if (status != TESSERA_OK) return status;
        tensors_.push_back(packed);
        *out = &tensors_.back();
        return TESSERA_OK;
    }
    tessera_status multiply(tessera_dtype precision) {
        const tessera_tensor *weight = nullptr;
        const tessera_tensor *x = nullptr;
        const tessera_tensor *out = nullptr;
        tessera_status status = pack(8, 8, precision, &weight);
        if (status == TESSERA_OK) status = allocate({4, 8}, &x);
        if (status == TESSERA_OK) status = allocate({4, 8}, &out);
        if (status != TESSERA_OK) return status;
        compute_.linear(&compute_, x, weight, nullptr, out);
        return compute_.synchronize(&compute_);
    }
    tessera_status layer(std::int64_t out_width, std::int64_t in_width,
                         tessera_denoise_linear *to) {
        const tessera_status status = pack(out_width, in_width, TESSERA_DTYPE_BF16, &to->weight);
        return status == TESSERA_OK ? allocate({out_width}, &to->bias) : status;
    }
    tessera_status chain() {
        constexpr std::int64_t kWidth = 16, kToken = 8, kSteps = 10;
        tessera_denoise_network network{};
        network.struct_size = sizeof network;
        network.epsilon = 1e-6F;
        const tessera_tensor *condition = nullptr;
        const tessera_tensor *time = nullptr;
        tessera_status status = layer(kWidth, kToken, &network.input);
        if (status == TESSERA_OK) status = layer(kWidth, kWidth, &network.condition);
        if (status == TESSERA_OK) status = layer(2 * kWidth, kWidth, &network.final_ada);
        if (status == TESSERA_OK) status = layer(2 * kToken, kWidth, &network.final);
        if (status == TESSERA_OK) status = allocate({4, kWidth}, &condition);
        if (status == TESSERA_OK) status = allocate({kSteps, kWidth}, &time);
        if (status == TESSERA_OK) status = allocate({4, kToken}, &x_);
        if (status == TESSERA_OK)
            status = denoise().create(&compute_, &network, 4, kSteps, 0, &chain_);
        if (status != TESSERA_OK) return status;
        const std::vector<tessera_reverse_step> steps(kSteps, {0.9F, 0.1F, -3.0F, 0.5F, 0.5F});
        Indices index(8);
        std::iota(index.begin(), index.end(), 0);
        const HostTensor positions(index, {4, 2});
        tessera_random random{};
        random.struct_size = sizeof random;
        random.index = positions.view();
        tessera_denoise_set set{};
        set.struct_size = sizeof set;
        set.rows = 4;
        set.step_count = kSteps;
        set.condition = condition;
        set.time = time;
        set.steps = steps.data();
        set.random = &random;
        denoise().begin(&compute_, chain_, &set);
        denoise().advance(&compute_, chain_, 0, kSteps, x_, nullptr);
        return TESSERA_OK;
    }

    const tessera_compute &compute_;
    std::deque<tessera_tensor> tensors_;
    tessera_denoise_chain *chain_ = nullptr;
    const tessera_tensor *x_ = nullptr;
};

tessera_status run_once(std::vector<float> &result) {
    auto compute = Compute::open("cuda");
    if (!compute) return static_cast<tessera_status>(compute.error().status);
    Run run(*compute->table());
    return run.go(result);
}

TEST(CudaFaults, EachCallFailsOnceAndTheNextRunWorks) {
    setenv("TESSERA_CUDA_MODULE", TESSERA_CUDA_DOUBLE, 1); // NOLINT(concurrency-mt-unsafe)
    log::set_sink({});
    const Double cuda;
    std::vector<float> want(32);
    ASSERT_EQ(run_once(want), TESSERA_OK);
    const long before = cuda.calls();
    ASSERT_EQ(run_once(want), TESSERA_OK);
    const long calls = cuda.calls() - before;
    ASSERT_GT(calls, 50);
    ASSERT_EQ(cuda.live(), 0);
    long failures = 0;
    for (long call = 0; call < calls; ++call) {
        for (const int error : {2, 719}) { // out of memory, launch failure
            cuda.fail(call, error);
            std::vector<float> result(32);
            const tessera_status status = run_once(result);
            cuda.fail(-1, 0);
            failures += status != TESSERA_OK ? 1 : 0;
            EXPECT_TRUE(status != TESSERA_OK || result == want) << "call " << call;
            ASSERT_EQ(cuda.live(), 0) << "call " << call;
        }
        if (call % 16 != 0) continue;
        std::vector<float> again(32);
        ASSERT_EQ(run_once(again), TESSERA_OK);
        EXPECT_EQ(again, want);
    }
    EXPECT_GT(failures, calls); // most calls matter, with either error
}

TEST(CudaFaults, SaysHowMuchMemoryWasWanted) {
    setenv("TESSERA_CUDA_MODULE", TESSERA_CUDA_DOUBLE, 1); // NOLINT(concurrency-mt-unsafe)
    log::set_sink({});
    const auto compute = Compute::open("cuda");
    ASSERT_TRUE(compute) << compute.error().message;
    tessera_tensor huge = tensor_of({1 << 20, 1 << 20});
    (void)log::take_last_error();
    EXPECT_EQ(compute->table()->allocate(compute->table(), &huge), TESSERA_ERROR_OUT_OF_MEMORY);
    const std::string message = log::take_last_error();
    EXPECT_NE(message.find("no 4398046511104 bytes"), std::string::npos) << message;
    EXPECT_NE(message.find("bytes are free"), std::string::npos) << message;
}

TEST(CudaExtension, TellsStreamDeviceAndLaunches) {
    setenv("TESSERA_CUDA_MODULE", TESSERA_CUDA_DOUBLE, 1); // NOLINT(concurrency-mt-unsafe)
    const auto compute = Compute::open("cuda", {.checked = true});
    ASSERT_TRUE(compute) << compute.error().message;
    const tessera_compute &table = *compute->table();
    const auto *cuda =
        static_cast<const tessera_ext_cuda *>(table.get_extension(&table, TESSERA_EXT_CUDA));
    ASSERT_NE(cuda, nullptr);
    EXPECT_EQ(cuda->struct_size, sizeof *cuda);
    EXPECT_NE(cuda->stream, nullptr);
    EXPECT_EQ(std::string(reinterpret_cast<const char *>(cuda->uuid), 16), "tessera-double00");
    const std::uint64_t before = *cuda->launch_count;
    const DeviceTensor tensor(table, Shape{4, 4});
    table.fill(&table, 1.0F, tensor.view());
    EXPECT_EQ(*cuda->launch_count, before + 1);
}

} // namespace
} // namespace tessera::testing
