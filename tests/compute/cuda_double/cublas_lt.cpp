// cuBLASLt of the double: plain products, sums in ascending order, and strict about alignment.
#include <cublasLt.h>
#include <cuda_bf16.h>

#include <cmath>

struct cublasLtContext {};
struct cublasLtMatmulDescOpaque_t {
    bool transposed = false; // the first matrix
};
struct cublasLtMatrixLayoutOpaque_t { // column-major
    cudaDataType_t type;
    std::int64_t rows, columns, stride;
};
struct cublasLtMatmulPreferenceOpaque_t {};

namespace {

constexpr std::uint64_t kAlgorithm = 0x656c62756f64; // "double"

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
                                              cublasLtMatmulDescAttributes_t, const void *value,
                                              std::size_t size_bytes) {
    cublasOperation_t operation{};
    if (size_bytes != sizeof operation) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&operation, value, size_bytes);
    description->transposed = operation == CUBLAS_OP_T;
    return CUBLAS_STATUS_SUCCESS;
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
    *count = wanted > 0 && fits(*description, *a, *b, *d) ? 1 : 0;
    if (*count == 1) {
        results[0] = {};
        results[0].algo.data[0] = kAlgorithm;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *,
                              cublasLtMatrixLayout_t, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *, std::size_t,
                              cudaStream_t stream) {
    float one = 0;
    float zero = 1;
    std::memcpy(&one, alpha, sizeof one);
    std::memcpy(&zero, beta, sizeof zero);
    if (one != 1 || zero != 0 || algorithm->data[0] != kAlgorithm || !aligned(a) || !aligned(b) ||
        !aligned(d) || !fits(*description, *a_layout, *b_layout, *d_layout)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const cublasLtMatrixLayoutOpaque_t of_a = *a_layout;
    const cublasLtMatrixLayoutOpaque_t of_b = *b_layout;
    const cublasLtMatrixLayoutOpaque_t of_d = *d_layout;
    const cudaError_t error = cuda_double::enqueue(stream, [=] {
        const auto *left = static_cast<const __nv_bfloat16 *>(a);
        const auto *right = static_cast<const __nv_bfloat16 *>(b);
        auto *out = static_cast<float *>(d);
        for (std::int64_t column = 0; column < of_d.columns; ++column) {
            for (std::int64_t row = 0; row < of_d.rows; ++row) {
                float sum = 0;
                for (std::int64_t k = 0; k < of_a.rows; ++k) {
                    sum = std::fmaf(__bfloat162float(left[row * of_a.stride + k]),
                                    __bfloat162float(right[column * of_b.stride + k]), sum);
                }
                out[column * of_d.stride + row] = sum;
            }
        }
    });
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
