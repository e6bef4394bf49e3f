#include "compute/cuda/products.hpp"

#include "compute/operands.hpp"
#include "core/log.hpp"

#include <dlfcn.h>

#include <utility>

namespace tessera::cuda {

namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
constexpr std::uint32_t kAlignment = 16;
// The row count that an algorithm is chosen for: a token set of a few images, with guidance.
constexpr std::int64_t kUsualRows = 64;

} // namespace

struct Products::Library {
    Library() = default;
    Library(const Library &) = delete;
    Library &operator=(const Library &) = delete;

    decltype(&cublasLtCreate) create;
    decltype(&cublasLtDestroy) destroy;
    decltype(&cublasLtGetStatusString) status_text;
    decltype(&cublasLtMatmulDescCreate) description_create;
    decltype(&cublasLtMatmulDescDestroy) description_destroy;
    decltype(&cublasLtMatmulDescSetAttribute) description_set;
    decltype(&cublasLtMatrixLayoutCreate) layout_create;
    decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
    decltype(&cublasLtMatmulPreferenceCreate) preference_create;
    decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
    decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
    decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
    decltype(&cublasLtMatmul) matmul;

    cublasLtHandle_t handle = nullptr;
    // out^T = w x^T, column-major as cuBLAS thinks; and the same with a bias.
    cublasLtMatmulDesc_t plain = nullptr;
    cublasLtMatmulDesc_t adding = nullptr;

    ~Library() {
        for (cublasLtMatmulDesc_t description : {plain, adding}) {
            if (description != nullptr) (void)description_destroy(description);
        }
        if (handle != nullptr) (void)destroy(handle);
    }

    [[nodiscard]] cublasLtMatmulDesc_t description(const Product &product) const {
        return product.bias != nullptr ? adding : plain;
    }
    // The vector of the product that adds.
    [[nodiscard]] cublasStatus_t set_bias(const float *bias) const {
        return description_set(adding, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                               static_cast<const void *>(&bias), sizeof bias);
    }
    // Into *out: nvcc does not take this type, which has no name, into templates.
    [[nodiscard]] Result<> ask(const Product &product, cublasLtMatmulAlgo_t *out) const;

    [[nodiscard]] Result<> check(cublasStatus_t status, const char *what) const {
        if (status == CUBLAS_STATUS_SUCCESS) return {};
        const Status kind =
            status == CUBLAS_STATUS_ALLOC_FAILED ? Status::kOutOfMemory : Status::kFailed;
        return make_error(kind, "{}: {}", what, status_text(status));
    }
};

namespace {

// The three matrices of a product as cuBLASLt wants them.
class Layouts {
  public:
    template <class Library>
    Layouts(const Library &library, const Product &p) : destroy_(library.layout_destroy) {
        const auto make = [&](cublasLtMatrixLayout_t &layout, cudaDataType_t type,
                              std::int64_t rows, std::int64_t columns, std::int64_t stride) {
            if (status == CUBLAS_STATUS_SUCCESS) {
                status = library.layout_create(&layout, type, static_cast<std::uint64_t>(rows),
                                               static_cast<std::uint64_t>(columns), stride);
            }
        };
        make(weight, CUDA_R_16BF, p.inner, p.columns, p.weight_stride);
        make(x, CUDA_R_16BF, p.inner, p.rows, p.x_stride);
        make(out, CUDA_R_32F, p.columns, p.rows, p.out_stride);
        make(residual, CUDA_R_32F, p.columns, p.rows,
             p.residual != nullptr ? p.residual_stride : p.out_stride);
    }
    ~Layouts() {
        for (cublasLtMatrixLayout_t layout : {weight, x, out, residual}) {
            if (layout != nullptr) (void)destroy_(layout);
        }
    }
    Layouts(const Layouts &) = delete;
    Layouts &operator=(const Layouts &) = delete;

    cublasLtMatrixLayout_t weight = nullptr;
    cublasLtMatrixLayout_t x = nullptr;
    cublasLtMatrixLayout_t out = nullptr;
    cublasLtMatrixLayout_t residual = nullptr;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;

  private:
    decltype(&cublasLtMatrixLayoutDestroy) destroy_;
};

#ifdef TESSERA_CUDA_DOUBLE
// The execution double of the tests is linked in.
// NOLINTNEXTLINE(bugprone-macro-parentheses): names of a member and of a function
#define TESSERA_LOAD(member, name) library->member = &name
Result<void *> open_library() { return nullptr; }
#else
#define TESSERA_LOAD(member, name)                                                                 \
    library->member = reinterpret_cast<decltype(library->member)>(dlsym(*opened, #name));          \
    if (library->member == nullptr)                                                                \
    return make_error(Status::kUnsupported, TESSERA_CUBLASLT " has no " #name)
Result<void *> open_library() {
    void *opened = dlopen(TESSERA_CUBLASLT, RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) {
        const char *const why = dlerror();
        return make_error(Status::kUnsupported,
                          "bf16 products need " TESSERA_CUBLASLT " (of the CUDA toolkit): {}",
                          why != nullptr ? why : "it cannot be loaded");
    }
    return opened; // never closed: its kernels stay with the context
}
#endif

} // namespace

Products::Products() = default;

Products::~Products() {
    library_.reset();
    if (workspace_ != nullptr) (void)cudaFree(workspace_);
}

Result<> Products::load() {
    if (library_ != nullptr) return {};
    const auto opened = open_library();
    if (!opened) return opened.error();
    auto library = std::make_unique<Library>();
    TESSERA_LOAD(create, cublasLtCreate);
    TESSERA_LOAD(destroy, cublasLtDestroy);
    TESSERA_LOAD(status_text, cublasLtGetStatusString);
    TESSERA_LOAD(description_create, cublasLtMatmulDescCreate);
    TESSERA_LOAD(description_destroy, cublasLtMatmulDescDestroy);
    TESSERA_LOAD(description_set, cublasLtMatmulDescSetAttribute);
    TESSERA_LOAD(layout_create, cublasLtMatrixLayoutCreate);
    TESSERA_LOAD(layout_destroy, cublasLtMatrixLayoutDestroy);
    TESSERA_LOAD(preference_create, cublasLtMatmulPreferenceCreate);
    TESSERA_LOAD(preference_destroy, cublasLtMatmulPreferenceDestroy);
    TESSERA_LOAD(preference_set, cublasLtMatmulPreferenceSetAttribute);
    TESSERA_LOAD(heuristic, cublasLtMatmulAlgoGetHeuristic);
    TESSERA_LOAD(matmul, cublasLtMatmul);

    if (workspace_ == nullptr && cudaMalloc(&workspace_, kWorkspaceBytes) != cudaSuccess) {
        (void)cudaGetLastError();
        return make_error(Status::kOutOfMemory, "no {} bytes of device memory for cuBLASLt",
                          kWorkspaceBytes);
    }
    const auto describe = [&](cublasLtMatmulDesc_t &description, cublasLtEpilogue_t epilogue) {
        const cublasOperation_t transposed = CUBLAS_OP_T;
        cublasStatus_t made =
            library->description_create(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F);
        if (made == CUBLAS_STATUS_SUCCESS) {
            made = library->description_set(description, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                            sizeof transposed);
        }
        if (made != CUBLAS_STATUS_SUCCESS || epilogue == CUBLASLT_EPILOGUE_DEFAULT) return made;
        return library->description_set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                        sizeof epilogue);
    };
    TESSERA_TRY(library->check(library->create(&library->handle), "cublasLtCreate"));
    TESSERA_TRY(library->check(describe(library->plain, CUBLASLT_EPILOGUE_DEFAULT),
                               "cublasLtMatmulDescCreate"));
    TESSERA_TRY(library->check(describe(library->adding, CUBLASLT_EPILOGUE_BIAS),
                               "cublasLtMatmulDescCreate (with a bias)"));
    library_ = std::move(library);
    return {};
}

// The best algorithm for exactly these rows that sums whole; Unsupported where there is none.
Result<> Products::Library::ask(const Product &product, cublasLtMatmulAlgo_t *out) const {
    const Layouts layouts(*this, product);
    TESSERA_TRY(check(layouts.status, "cublasLtMatrixLayoutCreate"));
    if (product.bias != nullptr)
        TESSERA_TRY(check(set_bias(product.bias), "cublasLtMatmulDescSetAttribute"));
    cublasLtMatmulPreference_t preference = nullptr;
    TESSERA_TRY(check(preference_create(&preference), "cublasLtMatmulPreferenceCreate"));
    const std::size_t workspace = kWorkspaceBytes;
    const std::uint32_t whole_sums = CUBLASLT_REDUCTION_SCHEME_NONE;
    const std::uint32_t alignment = kAlignment;
    (void)preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                         sizeof workspace);
    (void)preference_set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &whole_sums,
                         sizeof whole_sums);
    for (const auto of :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
        (void)preference_set(preference, of, &alignment, sizeof alignment);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status =
        heuristic(handle, description(product), layouts.weight, layouts.x, layouts.residual,
                  layouts.out, preference, 1, &found, &count);
    (void)preference_destroy(preference);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED)
        TESSERA_TRY(check(status, "cublasLtMatmulAlgoGetHeuristic"));
    if (status != CUBLAS_STATUS_SUCCESS || count == 0) {
        return make_error(Status::kUnsupported,
                          "cuBLASLt knows no product of {} rows with a bf16 ({}, {})", product.rows,
                          product.columns, product.inner);
    }
    *out = found.algo;
    return {};
}

Result<ProductChoice> Products::choose(const Product &product) {
    if (auto loaded = load(); !loaded) return loaded.error();
    Product usual = product;
    usual.rows = kUsualRows;
    usual.bias = usual.residual = nullptr;
    ProductChoice choice{.plain = {}, .adding = {}, .adds = usual.columns % 4 == 0};
    TESSERA_TRY(library_->ask(usual, &choice.plain));
    if (!choice.adds) return choice;
    alignas(kAlignment) static constexpr float kSomewhere = 0.0F; // its alignment is what counts
    usual.bias = &kSomewhere;
    if (const auto adding = library_->ask(usual, &choice.adding); !adding) {
        choice.adds = false;
        log::info("compute.cuda", "{} and a bias; it is added by a kernel", adding.error().message);
    }
    return choice;
}

Result<> Products::multiply(const Product &p, const ProductChoice &choice, cudaStream_t stream) {
    const Library &lt = *library_;
    const Layouts layouts(lt, p);
    TESSERA_TRY(lt.check(layouts.status, "cublasLtMatrixLayoutCreate"));
    if (p.bias != nullptr)
        TESSERA_TRY(lt.check(lt.set_bias(p.bias), "cublasLtMatmulDescSetAttribute"));
    const auto run = [&](const cublasLtMatmulAlgo_t &algorithm) {
        const float one = 1.0F;
        const float of_residual = p.residual != nullptr ? 1.0F : 0.0F;
        const float *residual = p.residual != nullptr ? p.residual : p.out;
        return lt.matmul(lt.handle, lt.description(p), &one, p.weight, layouts.weight, p.x,
                         layouts.x, &of_residual, residual, layouts.residual, p.out, layouts.out,
                         &algorithm, workspace_, kWorkspaceBytes, stream);
    };
    const cublasStatus_t status = run(p.bias != nullptr ? choice.adding : choice.plain);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE)
        return lt.check(status, "cublasLtMatmul");
    cublasLtMatmulAlgo_t other;
    if (!lt.ask(p, &other)) return lt.check(status, "cublasLtMatmul");
    if (!std::exchange(said_other_, true)) {
        log::warning("compute.cuda",
                     "cuBLASLt refuses its algorithm of a bf16 ({}, {}) for {} rows and gets "
                     "another: a row's last bits may depend on how many rows there are",
                     p.columns, p.inner, p.rows);
    }
    return lt.check(run(other), "cublasLtMatmul");
}

} // namespace tessera::cuda
