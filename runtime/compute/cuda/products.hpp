// Matrix products of bf16 through cuBLASLt. The library (half a gigabyte) is loaded when the first
// such weight is packed, so that its absence is an error of that weight and of nothing else.
#pragma once

#include "core/result.hpp"

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <memory>

namespace tessera::cuda {

// The algorithms for one weight: of the plain product, and of the one that adds. They are chosen
// once and used for any number of rows, and never split the sum, so that a row's result does not
// depend on the rows next to it.
struct ProductChoice {
    cublasLtMatmulAlgo_t plain;
    cublasLtMatmulAlgo_t adding;
    bool adds; // false: cuBLASLt has no product that adds for this weight
};

// out = x w^T, or x w^T + residual + bias, with float32 sums; x and w are bf16, the rest is
// float32. Addresses are of 16 bytes.
struct Product {
    const void *x; // (rows, inner)
    std::int64_t x_stride;
    std::int64_t rows;
    const void *weight; // (columns, inner)
    std::int64_t weight_stride;
    std::int64_t columns;
    std::int64_t inner;
    float *out; // (rows, columns)
    std::int64_t out_stride;
    const float *bias = nullptr;     // (columns); only where the choice adds
    const float *residual = nullptr; // (rows, columns), may be `out`
    std::int64_t residual_stride = 0;
};

class Products {
  public:
    Products();
    ~Products();
    Products(const Products &) = delete;
    Products &operator=(const Products &) = delete;

    // Loads the library at the first call. Pointers of `product` are not read, strides are.
    Result<ProductChoice> choose(const Product &product);
    // Where cuBLASLt refuses the chosen algorithm for so many rows, it is asked for another one,
    // and the log says so: rows are then no longer independent of each other to the last bit.
    Result<> multiply(const Product &product, const ProductChoice &choice, cudaStream_t stream);
    // Whether a weight was ever chosen for: products of bf16 are to be expected.
    [[nodiscard]] bool in_use() const { return library_ != nullptr; }

  private:
    struct Library;
    Result<> load();
    bool said_other_ = false; // that another algorithm was taken

    std::unique_ptr<Library> library_;
    void *workspace_ = nullptr;
};

} // namespace tessera::cuda
