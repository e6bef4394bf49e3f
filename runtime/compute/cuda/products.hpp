// Matrix products of bf16 through cuBLASLt. The library (half a gigabyte) is loaded when the first
// such weight is packed, so that its absence is an error of that weight and of nothing else.
#pragma once

#include "core/result.hpp"

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <memory>

namespace tessera::cuda {

// The algorithm for one weight. It is chosen once and used for any number of rows, and never splits
// the sum, so that a row's result does not depend on the rows next to it.
struct ProductChoice {
    cublasLtMatmulAlgo_t algorithm;
    std::size_t workspace_bytes;
};

// out = x w^T with float32 sums; x and w are bf16, out is float32.
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
};

class Products {
  public:
    Products();
    ~Products();
    Products(const Products &) = delete;
    Products &operator=(const Products &) = delete;

    // Loads the library at the first call. Pointers of `product` are not read, strides are.
    Result<ProductChoice> choose(const Product &product);
    Result<> multiply(const Product &product, const ProductChoice &choice, cudaStream_t stream);

  private:
    struct Library;
    Result<> load();

    std::unique_ptr<Library> library_;
    void *workspace_ = nullptr;
};

} // namespace tessera::cuda
