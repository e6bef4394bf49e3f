#include "compute/cuda/products.hpp"

#include <dlfcn.h>

#include <cstring>

namespace tessera::cuda {

namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
// The row count that an algorithm is chosen for: a token set of a few images, with guidance.
constexpr std::int64_t kUsualRows = 64;

} // namespace

struct Products::Library {
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
    cublasLtMatmulDesc_t description = nullptr; // out^T = w x^T, column-major as cuBLAS thinks

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
    }
    ~Layouts() {
        for (cublasLtMatrixLayout_t layout : {weight, x, out}) {
            if (layout != nullptr) (void)destroy_(layout);
        }
    }
    Layouts(const Layouts &) = delete;
    Layouts &operator=(const Layouts &) = delete;

    cublasLtMatrixLayout_t weight = nullptr;
    cublasLtMatrixLayout_t x = nullptr;
    cublasLtMatrixLayout_t out = nullptr;
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
    if (library_ == nullptr) return;
    if (library_->description != nullptr) {
        (void)library_->description_destroy(library_->description);
    }
    if (library_->handle != nullptr) (void)library_->destroy(library_->handle);
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
    library_ = std::move(library); // from here on the destructor clears up
    Library &lt = *library_;
    Result<> ready = [&]() -> Result<> {
        if (auto made = lt.check(lt.create(&lt.handle), "cublasLtCreate"); !made) return made;
        if (auto made =
                lt.check(lt.description_create(&lt.description, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                         "cublasLtMatmulDescCreate");
            !made) {
            return made;
        }
        const cublasOperation_t transposed = CUBLAS_OP_T;
        return lt.check(lt.description_set(lt.description, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                           sizeof transposed),
                        "cublasLtMatmulDescSetAttribute");
    }();
    if (!ready) {
        if (lt.description != nullptr) (void)lt.description_destroy(lt.description);
        if (lt.handle != nullptr) (void)lt.destroy(lt.handle);
        library_.reset();
    }
    return ready;
}

Result<ProductChoice> Products::choose(const Product &product) {
    if (auto loaded = load(); !loaded) return loaded.error();
    const Library &lt = *library_;
    Product usual = product;
    usual.rows = kUsualRows;
    const Layouts layouts(lt, usual);
    if (auto made = lt.check(layouts.status, "cublasLtMatrixLayoutCreate"); !made) {
        return made.error();
    }
    cublasLtMatmulPreference_t preference = nullptr;
    if (auto made = lt.check(lt.preference_create(&preference), "cublasLtMatmulPreferenceCreate");
        !made) {
        return made.error();
    }
    const std::size_t workspace = kWorkspaceBytes;
    const std::uint32_t whole_sums = CUBLASLT_REDUCTION_SCHEME_NONE;
    (void)lt.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                            sizeof workspace);
    (void)lt.preference_set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &whole_sums,
                            sizeof whole_sums);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status =
        lt.heuristic(lt.handle, lt.description, layouts.weight, layouts.x, layouts.out, layouts.out,
                     preference, 1, &found, &count);
    (void)lt.preference_destroy(preference);
    if (auto asked = lt.check(status, "cublasLtMatmulAlgoGetHeuristic"); !asked) {
        return asked.error();
    }
    if (count == 0) {
        return make_error(Status::kUnsupported, "cuBLASLt knows no product with a bf16 ({}, {})",
                          product.columns, product.inner);
    }
    return ProductChoice{found.algo, found.workspaceSize};
}

Result<> Products::multiply(const Product &p, const ProductChoice &choice, cudaStream_t stream) {
    const Library &lt = *library_;
    const Layouts layouts(lt, p);
    if (auto made = lt.check(layouts.status, "cublasLtMatrixLayoutCreate"); !made) return made;
    const float one = 1.0F;
    const float zero = 0.0F;
    return lt.check(lt.matmul(lt.handle, lt.description, &one, p.weight, layouts.weight, p.x,
                              layouts.x, &zero, p.out, layouts.out, p.out, layouts.out,
                              &choice.algorithm, workspace_, choice.workspace_bytes, stream),
                    "cublasLtMatmul");
}

} // namespace tessera::cuda
