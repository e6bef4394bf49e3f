# What the CUDA backend is made of; the execution double of tests/compute is made of the same.
set(TESSERA_CUDA_SOURCES
  attention.cu choice.cu conv.cu cuda.cu denoise/denoise.cu denoise/kernels.cu
  denoise/persistent.cu depthwise.cu elementwise.cu gather.cu graph.cu
  host_tables.cu indices.cu linear.cu linear_mma.cu module.cu norm.cu products.cu random.cu rotary.cu sampling.cu
  sharing.cu)
list(TRANSFORM TESSERA_CUDA_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
