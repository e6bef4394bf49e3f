// A small run on the execution double: every call to CUDA fails once in turn (each failure comes
// back as a status, nothing is left behind, and the next compute works), and which way the denoise
// chain takes, in how many launches.
#include "harness.hpp"

#include "compute/cuda/denoise/plan.hpp"
#include "compute/registry.hpp"
#include "core/log.hpp"
#include "tests/compute/cuda_double/switches.hpp"

#include <tessera/ext/cuda.h>
#include <tessera/ext/draft/mlp_denoiser.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <deque>
#include <numeric>
#include <sys/mman.h>
#include <unistd.h>

namespace tessera::testing {
namespace {

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

const tessera_ext_cuda &cuda_extension(const tessera_compute &compute) {
    return *static_cast<const tessera_ext_cuda *>(
        compute.get_extension(&compute, TESSERA_EXT_CUDA));
}

constexpr std::int64_t kWidth = 16, kToken = 8, kRows = 4;

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
    tessera_status go(std::vector<float> &result, std::uint32_t steps) {
        for (const tessera_dtype precision : {TESSERA_DTYPE_BF16, TESSERA_DTYPE_F32}) {
            if (const tessera_status status = multiply(precision); status != TESSERA_OK)
                return status;
        }
        if (const tessera_status status = chain(steps); status != TESSERA_OK) return status;
        tessera_tensor out = tensor_of({4, 8}, result.data());
        compute_.download(&compute_, x_, &out);
        return compute_.synchronize(&compute_);
    }

    // Of the chain: as the plan counts them, without those that fill tensors.
    [[nodiscard]] std::uint64_t launches() const { return launches_; }

  private:
    [[nodiscard]] const tessera_ext_mlp_denoiser &denoise() const {
        return *static_cast<const tessera_ext_mlp_denoiser *>(
            compute_.get_extension(&compute_, TESSERA_EXT_MLP_DENOISER));
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
        const tessera_tensor *normed = nullptr;
        status = allocate({4, 8}, &normed);
        if (status != TESSERA_OK) return status;
        tessera_linear options{};
        options.struct_size = sizeof options;
        options.activation = TESSERA_ACTIVATION_GELU_ERF;
        options.normed = normed;
        compute_.linear(&compute_, x, weight, &options, out);
        return compute_.synchronize(&compute_);
    }
    tessera_status layer(std::int64_t out_width, std::int64_t in_width,
                         tessera_mlp_denoiser_linear *to) {
        const tessera_status status = pack(out_width, in_width, TESSERA_DTYPE_BF16, &to->weight);
        return status == TESSERA_OK ? allocate({out_width}, &to->bias) : status;
    }
    tessera_status block(tessera_mlp_denoiser_block *to) {
        tessera_status status = allocate({kWidth}, &to->gamma);
        if (status == TESSERA_OK) status = allocate({kWidth}, &to->beta);
        if (status == TESSERA_OK) status = layer(kWidth, kWidth, &to->mlp_in);
        if (status == TESSERA_OK) status = layer(kWidth, kWidth, &to->mlp_out);
        if (status == TESSERA_OK) status = layer(3 * kWidth, kWidth, &to->ada);
        return status;
    }
    tessera_status chain(std::uint32_t step_count) {
        tessera_mlp_denoiser_block only{};
        tessera_mlp_denoiser_network network{};
        network.blocks = &only;
        network.block_count = 1;
        network.struct_size = sizeof network;
        network.epsilon = 1e-6F;
        const tessera_tensor *condition = nullptr;
        const tessera_tensor *time = nullptr;
        tessera_status status = layer(kWidth, kToken, &network.input);
        if (status == TESSERA_OK) status = layer(kWidth, kWidth, &network.condition);
        if (status == TESSERA_OK) status = layer(2 * kWidth, kWidth, &network.final_ada);
        if (status == TESSERA_OK) status = layer(2 * kToken, kWidth, &network.final);
        if (status == TESSERA_OK) status = block(&only);
        if (status == TESSERA_OK) status = allocate({kRows, kWidth}, &condition);
        if (status == TESSERA_OK) status = allocate({step_count, kWidth}, &time);
        if (status == TESSERA_OK) status = allocate({kRows, kToken}, &x_);
        if (status == TESSERA_OK)
            status = denoise().create(&compute_, &network, 4, step_count, 0, &chain_);
        if (status != TESSERA_OK) return status;
        const std::vector<tessera_reverse_step> steps(step_count, {0.9F, 0.1F, -3.0F, 0.5F, 0.5F});
        Indices index(8);
        std::iota(index.begin(), index.end(), 0);
        const HostTensor positions(index, {4, 2});
        tessera_random random{};
        random.struct_size = sizeof random;
        random.index = positions.view();
        tessera_mlp_denoiser_set set{};
        set.struct_size = sizeof set;
        set.rows = 4;
        set.step_count = step_count;
        set.condition = condition;
        set.time = time;
        set.steps = steps.data();
        set.random = &random;
        const std::uint64_t before = launch_count();
        denoise().begin(&compute_, chain_, &set);
        denoise().advance(&compute_, chain_, 0, step_count, x_, nullptr);
        launches_ = launch_count() - before;
        return TESSERA_OK;
    }

    [[nodiscard]] std::uint64_t launch_count() const {
        return *cuda_extension(compute_).launch_count;
    }

    const tessera_compute &compute_;
    std::uint64_t launches_ = 0;
    std::deque<tessera_tensor> tensors_;
    tessera_mlp_denoiser_chain *chain_ = nullptr;
    const tessera_tensor *x_ = nullptr;
};

struct Outcome {
    tessera_status status = TESSERA_OK;
    std::vector<float> result = std::vector<float>(32);
    std::uint64_t launches = 0;   // of the chain
    std::uint64_t persistent = 0; // of them
};

Outcome run_with(const std::string &backend, std::uint32_t steps = 10) {
    Outcome outcome;
    auto compute = Compute::open(backend);
    if (!compute) {
        outcome.status = static_cast<tessera_status>(compute.error().status);
        return outcome;
    }
    Run run(*compute->table());
    outcome.status = run.go(outcome.result, steps);
    outcome.launches = run.launches();
    outcome.persistent = *cuda_extension(*compute->table()).persistent_count;
    return outcome;
}

tessera_status run_once(std::vector<float> &result) {
    const Outcome outcome = run_with("cuda");
    result = outcome.result;
    return outcome.status;
}

MATCHER_P2(AllNear, want, tolerance, "") {
    for (std::size_t i = 0; i < want.size(); ++i) {
        if (!(std::abs(arg[i] - want[i]) <= tolerance)) return false;
    }
    return true;
}

TEST(CudaFaults, EachCallFailsOnceAndTheNextRunWorks) {
    setenv("TESSERA_CUDA_MODULE", TESSERA_CUDA_DOUBLE, 1); // NOLINT(concurrency-mt-unsafe)
    log::set_sink({});
    const test::Double cuda{TESSERA_CUDA_DOUBLE};
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
    ASSERT_NE(table.get_extension(&table, TESSERA_EXT_CUDA), nullptr);
    const tessera_ext_cuda *cuda = &cuda_extension(table);
    EXPECT_EQ(cuda->struct_size, sizeof *cuda);
    EXPECT_NE(cuda->stream, nullptr);
    EXPECT_EQ(std::string(reinterpret_cast<const char *>(cuda->uuid), 16), "tessera-double00");
    const std::uint64_t before = *cuda->launch_count;
    const DeviceTensor tensor(table, Shape{4, 4});
    table.fill(&table, 1.0F, tensor.view());
    EXPECT_EQ(*cuda->launch_count, before + 1);
}

// Memory behind a descriptor, mapped as a driver would.
void map_descriptors(const test::Double &cuda) {
    cuda.user(nullptr);
    cuda.maps(
        [](void *, int fd, unsigned long size_bytes) -> void * {
            void *const data = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            close(fd);
            return data != MAP_FAILED ? data : nullptr;
        },
        [](void *, void *data) { munmap(data, 4096); });
}

TEST(CudaExtension, MemoryOfOthersIsWrittenAndOutlivesTheCompute) {
    setenv("TESSERA_CUDA_MODULE", TESSERA_CUDA_DOUBLE, 1); // NOLINT(concurrency-mt-unsafe)
    const test::Double cuda{TESSERA_CUDA_DOUBLE};
    map_descriptors(cuda);
    const int fd = memfd_create("shared", MFD_CLOEXEC);
    ASSERT_EQ(ftruncate(fd, 4096), 0);
    const tessera_cuda_memory *memory = nullptr;
    std::vector<float> numbers(16);
    {
        const auto compute = Compute::open("cuda");
        ASSERT_TRUE(compute) << compute.error().message;
        const tessera_compute &table = *compute->table();
        const tessera_ext_cuda *extension = &cuda_extension(table);
        ASSERT_EQ(extension->import_memory(extension, fd, 4096, 64, &memory), TESSERA_OK);
        tessera_tensor tensor = tensor_of({4, 4}, memory->data);
        tensor.memory = TESSERA_MEMORY_CUDA;
        table.fill(&table, 2.5F, &tensor);
        EXPECT_EQ(extension->finish(extension), TESSERA_OK);
        ASSERT_EQ(pread(fd, numbers.data(), 64, 0), 64);
        EXPECT_THAT(numbers, ::testing::Each(2.5F));
    }
    std::vector<float> again(16);
    EXPECT_EQ(memory->read(memory, again.data(), 64), TESSERA_OK);
    EXPECT_EQ(again, numbers);
    (void)log::take_last_error();
    EXPECT_EQ(memory->read(memory, again.data(), 65), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(log::take_last_error(), ::testing::HasSubstr("65 bytes"));
    memory->release(memory);
    EXPECT_EQ(cuda.live(), 0);
    close(fd);
    cuda.user(nullptr);
}

// An import that is refused takes nothing over, and is no failure of the compute.
TEST(CudaExtension, ARefusedImportChangesNothing) {
    setenv("TESSERA_CUDA_MODULE", TESSERA_CUDA_DOUBLE, 1); // NOLINT(concurrency-mt-unsafe)
    const test::Double cuda{TESSERA_CUDA_DOUBLE};
    map_descriptors(cuda);
    const int fd = memfd_create("shared", MFD_CLOEXEC);
    ASSERT_EQ(ftruncate(fd, 4096), 0);
    {
        const auto compute = Compute::open("cuda");
        ASSERT_TRUE(compute) << compute.error().message;
        const tessera_compute &table = *compute->table();
        const tessera_ext_cuda *extension = &cuda_extension(table);
        const tessera_cuda_memory *memory = nullptr;
        for (const long call : {0L, 1L}) { // the import, and its mapping
            cuda.fail(call, 1);
            (void)log::take_last_error();
            EXPECT_NE(extension->import_memory(extension, fd, 4096, 64, &memory), TESSERA_OK);
            EXPECT_EQ(memory, nullptr);
            EXPECT_THAT(log::take_last_error(), ::testing::HasSubstr("invalid argument"));
        }
        cuda.fail(-1, 0);
        EXPECT_EQ(table.synchronize(&table), TESSERA_OK);
    }
    EXPECT_EQ(cuda.live(), 0);
    close(fd);
    cuda.user(nullptr);
}

// ---- which way the denoise chain takes ----

constexpr float kRounding = 4e-3F; // of bf16, in numbers of about 1

class CudaDenoise : public ::testing::Test {
  protected:
    void SetUp() override {
        setenv("TESSERA_CUDA_MODULE", TESSERA_CUDA_DOUBLE, 1); // NOLINT(concurrency-mt-unsafe)
        log::set_sink({});
        graphs_ = run_with("cuda:denoise_graphs=1");
        ASSERT_EQ(graphs_.status, TESSERA_OK);
        ASSERT_EQ(graphs_.persistent, 0U);
    }
    Outcome graphs_;
};

TEST_F(CudaDenoise, BothWaysAgreeAndGiveTheSameBytesAgain) {
    const Outcome persistent = run_with("cuda");
    EXPECT_EQ(persistent.status, TESSERA_OK);
    EXPECT_EQ(persistent.persistent, 1U);
    EXPECT_THAT(persistent.result, AllNear(graphs_.result, kRounding));
    EXPECT_EQ(run_with("cuda").result, persistent.result);
    const Outcome shorter = run_with("cuda:denoise_steps=3");
    EXPECT_EQ(shorter.persistent, 4U);
    EXPECT_EQ(shorter.result, persistent.result);
}

TEST_F(CudaDenoise, LeavesMultiprocessorsFree) {
    const Outcome all = run_with("cuda");
    const Outcome one = run_with("cuda:free_multiprocessors=2");
    EXPECT_EQ(one.persistent, 1U);
    EXPECT_EQ(one.result, all.result);
    const auto compute = Compute::open("cuda:free_multiprocessors=3");
    ASSERT_FALSE(compute);
    EXPECT_EQ(compute.error().status, Status::kInvalidArgument);
    EXPECT_THAT(compute.error().message,
                ::testing::HasSubstr("free_multiprocessors is 3; expected 0 to 2"));
}

TEST_F(CudaDenoise, GraphsWhereTheDeviceCannot) {
    const test::Double cuda{TESSERA_CUDA_DOUBLE};
    cuda.cooperative(false);
    const Outcome without = run_with("cuda");
    cuda.cooperative(true);
    EXPECT_EQ(without.status, TESSERA_OK);
    EXPECT_EQ(without.persistent, 0U);
    EXPECT_EQ(without.result, graphs_.result);
}

// Where cuBLASLt refuses something, the result is the same and the log says what was done.
TEST_F(CudaDenoise, OtherWaysWhereProductsAreRefused) {
    const Outcome want = run_with("cuda");
    const test::Double cuda{TESSERA_CUDA_DOUBLE};
    cuda.products(false, -1);
    const Outcome by_kernel = run_with("cuda");
    cuda.products(true, 3); // of 4 rows and more
    std::string said;
    log::set_sink([&said](log::Level, std::string_view, std::string_view text) { said += text; });
    const Outcome other = run_with("cuda");
    log::set_sink({});
    cuda.products(true, -1);
    EXPECT_EQ(by_kernel.status, TESSERA_OK);
    EXPECT_EQ(by_kernel.result, want.result);
    EXPECT_GT(by_kernel.launches, want.launches);
    EXPECT_EQ(other.status, TESSERA_OK);
    EXPECT_EQ(other.result, want.result);
    EXPECT_THAT(said, ::testing::HasSubstr("may depend on how many rows"));
}

// The device refuses one launch, the first or a later one: graphs from there on.
TEST_F(CudaDenoise, GraphsFromARefusedLaunchOn) {
    constexpr int kTooLarge = 720;
    const test::Double cuda{TESSERA_CUDA_DOUBLE};
    const std::string four = "cuda:denoise_steps=4";
    const long before = cuda.calls();
    ASSERT_EQ(run_with(four).persistent, 3U);
    const long calls = cuda.calls() - before;
    std::vector<std::uint64_t> ran; // on the persistent kernel, before one was refused
    for (long call = 0; call < calls; ++call) {
        cuda.fail(call, kTooLarge);
        const Outcome outcome = run_with(four);
        cuda.fail(-1, 0);
        if (outcome.status != TESSERA_OK || outcome.persistent == 3) continue;
        ran.push_back(outcome.persistent);
        EXPECT_THAT(outcome.result, AllNear(graphs_.result, kRounding)) << "call " << call;
    }
    EXPECT_THAT(ran, ::testing::ElementsAre(0U, 1U, 2U));
    EXPECT_EQ(cuda.live(), 0);
}

TEST_F(CudaDenoise, LaunchesAreThoseOfThePlan) {
    const cuda::DenoiseSize size{kWidth, 1};
    for (const std::uint32_t steps : {1U, 10U, 300U}) // 300: modulations of three chunks
        EXPECT_EQ(run_with("cuda", steps).launches, cuda::persistent_launches(size, kRows, steps));
}

// An image of MAR-B: 256 tokens in 64 sets by the cosine schedule, guided, 100 steps each.
TEST(CudaDenoisePlan, AnImageOfMarBTakesLessThan2000Launches) {
    const cuda::DenoiseSize size{1024, 6};
    std::uint64_t launches = 0;
    int left = 256;
    for (int set = 1; set <= 64; ++set) {
        const int masked = static_cast<int>(256 * std::cos(std::acos(0.0) * set / 64));
        const int next = set == 64 ? 0 : std::max(1, std::min(masked, left - 1));
        launches += cuda::persistent_launches(size, std::int64_t{2} * (left - next), 100);
        left = next;
    }
    RecordProperty("launches", std::to_string(launches));
    EXPECT_LT(launches, 2000U);
    EXPECT_EQ(cuda::barriers_of_step(size), 13);
    // A launch stays near a millisecond whatever the rows, and never makes less than one step.
    EXPECT_GE(cuda::persistent_steps(size, 2), 20U);
    EXPECT_LT(cuda::persistent_steps(size, 256), cuda::persistent_steps(size, 16));
    EXPECT_EQ(cuda::persistent_steps({1536, 12}, 100'000), 1U);
}

} // namespace
} // namespace tessera::testing
