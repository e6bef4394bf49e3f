// How often the host waits for the device while a job makes an image: counted by the execution
// double of CUDA (tests/compute/cuda_double), whose work is never done before somebody waits.
#pragma once

#include "blocks/codec/latent_codec.hpp"
#include "mar/model.hpp"

#include <cstdint>
#include <optional>

namespace tessera::bench {

struct JobWaits {
    long whole = 0;    // when one call makes the image
    long in_units = 0; // when calls return after a natural unit of work
    long calls = 0;    // of the latter, each of which ends with a wait
    long watched = 0;  // the same with a picture on the host after every step
};

// One guided image, from its begin to its last picture on the host. Nothing where the backend is
// not the double.
[[nodiscard]] std::optional<JobWaits> job_waits(const sdk::Compute &compute,
                                                const mar::MarModel &model,
                                                const blocks::LatentCodec &codec, int steps,
                                                int denoise_steps, double guidance);

} // namespace tessera::bench
