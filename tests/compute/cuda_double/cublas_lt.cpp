// cuBLASLt of the double: plain products, sums in ascending order, and strict about alignment and
// about what an algorithm was asked for. On request it knows no product that adds, or refuses its
// algorithms for other rows (tessera_cuda_double_products).
#include <cublasLt.h>
#include <cuda_bf16.h>

#include <cmath>

struct cublasLtContext {};
struct cublasLtMatmulDescOpaque_t {
    bool transposed = false; // the first matrix
    bool adds = false;       // a bias
    const float *bias = nullptr;
};
struct cublasLtMatrixLayoutOpaque_t { // column-major
    cudaDataType_t type;
    std::int64_t rows, columns, stride;
};
struct cublasLtMatmulPreferenceOpaque_t {};

namespace {

constexpr std::uint64_t kAlgorithm = 0x656c62756f64; // "double"
bool knows_bias = true;
std::int64_t most_rows = INT64_MAX; // with an algorithm that was asked for with others

bool aligned(const void *address) { return reinterpret_cast<std::uintptr_t>(address) % 16 == 0; }

bool fits(const cublasLtMatmulDescOpaque_t &description, const cublasLtMatrixLayoutOpaque_t &a,
          const cublasLtMatrixLayoutOpaque_t &b, const cublasLtMatrixLayoutOpaque_t &d) {
    return description.transposed && a.type == CUDA_R_16BF && b.type == CUDA_R_16BF &&
           d.type == CUDA_R_32F && a.rows == b.rows && a.columns == d.rows &&
           b.columns == d.columns && a.stride >= a.rows && b.stride >= b.rows &&
           d.stride >= d.rows && a.stride % 8 == 0 && b.stride % 8 == 0 && d.stride % 4 == 0;
}

} // namespace

const char *cublasLtGetStatusString(cublasStatus_t status) {
    return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "a cuBLAS error";
}
cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    *handle = new cublasLtContext;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *description, cublasComputeType_t,
                                        cudaDataType_t) {
    *description = new cublasLtMatmulDescOpaque_t;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
    delete description;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, std::size_t size_bytes) {
    const auto take = [&](auto &to) {
        if (size_bytes != sizeof to) return CUBLAS_STATUS_INVALID_VALUE;
        std::memcpy(&to, value, size_bytes);
        return CUBLAS_STATUS_SUCCESS;
    };
    if (attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER) return take(description->bias);
    if (attribute == CUBLASLT_MATMUL_DESC_EPILOGUE) {
        cublasLtEpilogue_t epilogue{};
        const cublasStatus_t taken = take(epilogue);
        description->adds = epilogue == CUBLASLT_EPILOGUE_BIAS;
        return taken;
    }
    cublasOperation_t operation{};
    const cublasStatus_t taken = take(operation);
    description->transposed = operation == CUBLAS_OP_T;
    return taken;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type,
                                          std::uint64_t rows, std::uint64_t columns,
                                          std::int64_t stride) {
    *layout = new cublasLtMatrixLayoutOpaque_t{type, static_cast<std::int64_t>(rows),
                                               static_cast<std::int64_t>(columns), stride};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
    *preference = new cublasLtMatmulPreferenceOpaque_t;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                    cublasLtMatmulPreferenceAttributes_t,
                                                    const void *, std::size_t) {
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results,
                                              int *count) {
    if (description->adds && !knows_bias) return CUBLAS_STATUS_NOT_SUPPORTED;
    *count = wanted > 0 && fits(*description, *a, *b, *d) ? 1 : 0;
    if (*count == 1) {
        results[0] = {};
        results[0].algo.data[0] = kAlgorithm;
        results[0].algo.data[1] = description->adds ? 1 : 0;
        results[0].algo.data[2] = static_cast<std::uint64_t>(b->columns);
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *, std::size_t,
                              cudaStream_t stream) {
    float one = 0;
    float of_c = 0;
    std::memcpy(&one, alpha, sizeof one);
    std::memcpy(&of_c, beta, sizeof of_c);
    const bool adds = description->adds;
    if (one != 1 || (of_c != 0 && of_c != 1) || algorithm->data[0] != kAlgorithm ||
        algorithm->data[1] != (adds ? 1 : 0) || !aligned(a) || !aligned(b) || !aligned(c) ||
        !aligned(d) || !fits(*description, *a_layout, *b_layout, *d_layout) ||
        !fits(*description, *a_layout, *b_layout, *c_layout) ||
        (adds && (description->bias == nullptr || !aligned(description->bias))) ||
        (c == d && c_layout->stride != d_layout->stride)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (b_layout->columns > most_rows &&
        algorithm->data[2] != static_cast<std::uint64_t>(b_layout->columns))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    const float *bias = adds ? description->bias : nullptr;
    const cublasLtMatrixLayoutOpaque_t of_a = *a_layout;
    const cublasLtMatrixLayoutOpaque_t of_b = *b_layout;
    const cublasLtMatrixLayoutOpaque_t of_d = *d_layout;
    const std::int64_t c_stride = c_layout->stride;
    if (cuda_double::counts_only()) return CUBLAS_STATUS_SUCCESS;
    const cudaError_t error = cuda_double::enqueue(stream, [=] {
        const auto *left = static_cast<const __nv_bfloat16 *>(a);
        const auto *right = static_cast<const __nv_bfloat16 *>(b);
        auto *out = static_cast<float *>(d);
        const auto *before = static_cast<const float *>(c);
        for (std::int64_t column = 0; column < of_d.columns; ++column) {
            for (std::int64_t row = 0; row < of_d.rows; ++row) {
                float sum = 0;
                for (std::int64_t k = 0; k < of_a.rows; ++k) {
                    sum = std::fmaf(__bfloat162float(left[row * of_a.stride + k]),
                                    __bfloat162float(right[column * of_b.stride + k]), sum);
                }
                if (of_c != 0) sum += before[column * c_stride + row];
                out[column * of_d.stride + row] = bias != nullptr ? sum + bias[row] : sum;
            }
        }
    });
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

// Whether it knows products that add a bias, and up to how many rows an algorithm is taken that was
// asked for with others; -1: any.
extern "C" __attribute__((visibility("default"))) void tessera_cuda_double_products(int adding,
                                                                                    long rows) {
    knows_bias = adding != 0;
    most_rows = rows < 0 ? INT64_MAX : rows;
}
