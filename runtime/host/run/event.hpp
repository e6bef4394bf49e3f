// News of a job, as whoever asked for it gets them: copied, so that they can wait in a queue.
#pragma once

#include "core/result.hpp"
#include "host/run/device_store.hpp"

#include <tessera/generator.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tessera {

struct PlayerEvent {
    enum class Type {
        kActivated, // the generator is ready on its device
        kProgress,  // step of total_steps is done
        kImage,     // the frame target has a new picture (of `image`)
        kCells,     // bytes: (rows, columns) U8, TESSERA_CELL_*
        kFeatures,  // bytes, or `kept` instead: the tap called `name`, contiguous
        kFinished,  // the job is complete
        kCancelled, // the job ended early: cancel, restart or a new submit
        kFailed,    // see `error`; the player lives on
    };
    Type type = Type::kProgress;
    bool final = false;    // kImage: will not be replaced
    std::uint64_t job = 0; // its number; 0: of no job, while the generator is activated
    std::uint64_t tag = 0; // of its request
    std::uint32_t image = 0;
    std::uint32_t step = 0;
    std::uint32_t total_steps = 0;
    std::string name; // kProgress: the phase that follows; kFeatures: the tap
    tessera_dtype dtype = TESSERA_DTYPE_NONE;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
    std::shared_ptr<const KeptTensor> kept; // on the device that made it
    Error error;
};

// An event that JobSink has checked, with what it points to copied, but for a tensor that is not on
// the host.
[[nodiscard]] PlayerEvent copy_event(const tessera_event &from, std::uint64_t job,
                                     std::uint64_t tag);

// The numbers of a tensor of TESSERA_DTYPE_F32.
[[nodiscard]] std::vector<float> floats_of(std::span<const std::byte> bytes);

} // namespace tessera
