// The table of ext/draft/mlp_denoiser.h over the chains of a device, as table.hpp makes that of
// compute.h over its kernels: sticky error, tracing, rules, and which step is next, once.
//
// A chain, for instance `cpu::DenoiseChain`, has:
//   create(device, network, max_rows, max_steps, guided) -> Result<std::unique_ptr<Chain>>
//   begin(set), advance(first_step, count, x, model_out)
// Networks, sets and steps keep their rules and are at full size when they come here.
#pragma once

#include "compute/table.hpp"

#include <tessera/ext/draft/mlp_denoiser.h>

#include <memory>

namespace tessera::table {

template <class Device, class Chain>
struct DenoiseTable {
    // What the opaque tessera_mlp_denoiser_chain is.
    struct Opened {
        std::unique_ptr<Chain> chain;
        tessera_mlp_denoiser_network network;
        std::uint32_t max_rows, max_steps, guided;
        std::uint32_t rows = 0; // of the set under way; 0: none
        std::uint32_t step_count = 0, next_step = 0;
    };
    static Opened &opened(tessera_mlp_denoiser_chain *chain) {
        return *reinterpret_cast<Opened *>(chain);
    }
    static Result<> given(const tessera_mlp_denoiser_chain *chain) {
        if (chain != nullptr) return {};
        return make_error(Status::kInvalidArgument, "chain is NULL");
    }

    static tessera_status create(const tessera_compute *compute,
                                 const tessera_mlp_denoiser_network *network,
                                 std::uint32_t max_rows, std::uint32_t max_steps,
                                 std::uint32_t guided, tessera_mlp_denoiser_chain **out) {
        const typename Device::Range range("denoise create");
        auto &device = device_of<Device>(compute);
        device.make_current();
        *out = nullptr;
        const Result<> fits = operands::denoise_network(network, max_rows, max_steps);
        auto chain = fits ? Chain::create(device, operations::copy_options(network), max_rows,
                                          max_steps, guided != 0)
                          : Result<std::unique_ptr<Chain>>(fits.error());
        if (!chain) return refused<Device>("denoise create", chain.error());
        *out = reinterpret_cast<tessera_mlp_denoiser_chain *>(new Opened{
            std::move(*chain), operations::copy_options(network), max_rows, max_steps, guided});
        return TESSERA_OK;
    }

    static void destroy(const tessera_compute *compute, tessera_mlp_denoiser_chain *chain) {
        if (chain == nullptr) return;
        device_of<Device>(compute).make_current();
        delete &opened(chain);
    }

    static void begin(const tessera_compute *compute, tessera_mlp_denoiser_chain *chain,
                      const tessera_mlp_denoiser_set *set) {
        operate<Device>(
            compute, "denoise begin",
            [&]() -> Result<> {
                if (Result<> known = given(chain); !known) return known;
                Opened &own = opened(chain);
                own.rows = 0;
                return operands::denoise_set(own.network, set, own.max_rows, own.max_steps,
                                             own.guided);
            },
            [&](Device &device) {
                Opened &own = opened(chain);
                const tessera_mlp_denoiser_set begun = operations::copy_options(set);
                own.chain->begin(begun);
                if (device.failed()) return;
                own.rows = begun.rows;
                own.step_count = begun.step_count;
                own.next_step = 0;
            });
    }

    // After a failure on the way the chain begins again.
    static void advance(const tessera_compute *compute, tessera_mlp_denoiser_chain *chain,
                        std::uint32_t first_step, std::uint32_t count, const tessera_tensor *x,
                        const tessera_tensor *model_out) {
        operate<Device>(
            compute, "denoise advance",
            [&]() -> Result<> {
                if (Result<> known = given(chain); !known) return known;
                const Opened &own = opened(chain);
                return operands::denoise_advance(own.network, own.rows, own.step_count,
                                                 own.next_step, first_step, count, x, model_out);
            },
            [&](Device &device) {
                Opened &own = opened(chain);
                own.chain->advance(first_step, count, *x, model_out);
                own.next_step += count;
                if (device.failed()) own.rows = 0;
            });
    }

    static constexpr tessera_ext_mlp_denoiser kTable{create, destroy, begin, advance};
};

} // namespace tessera::table
