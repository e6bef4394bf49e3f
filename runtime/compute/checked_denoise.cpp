// The denoise extension of the checked table: check, then forward.
#include "compute/checked_state.hpp"

#include "core/tensor.hpp"

#include <memory>

namespace tessera {

namespace {

// What stands behind the opaque tessera_mlp_denoiser_chain that the wrapper gives out.
struct CheckedChain {
    tessera_mlp_denoiser_chain *inner;
    tessera_mlp_denoiser_network network;
    std::uint32_t max_rows;
    std::uint32_t max_steps;
    std::uint32_t guided;
    std::uint32_t rows = 0; // of the set under way; 0: none
    std::uint32_t step_count = 0;
    std::uint32_t next_step = 0;
};

CheckedChain *checked_chain(tessera_mlp_denoiser_chain *chain) {
    return reinterpret_cast<CheckedChain *>(chain);
}

Result<> known_chain(const CheckedState &state, const void *chain) {
    const auto found = state.live.find(chain);
    if (found != state.live.end() && std::string_view(found->second.made_by) == "chain") return {};
    return make_error(Status::kInvalidArgument,
                      "the chain is not one of this compute, or is destroyed already");
}

Result<> sized_network(const tessera_mlp_denoiser_network *network, const void *out_chain) {
    if (network == nullptr || out_chain == nullptr) {
        return make_error(Status::kInvalidArgument, "{} is NULL",
                          network == nullptr ? "network" : "out_chain");
    }
    return sized(network);
}

Result<> packed_layers(const CheckedState &state, const tessera_mlp_denoiser_network &network) {
    const auto packed = [&](const tessera_mlp_denoiser_linear &layer) -> Result<> {
        if (Result<> known = state.packed_for("pack_linear", *layer.weight); !known) return known;
        return state.placed({{operations::read("bias"), layer.bias}});
    };
    for (const auto *layer :
         {&network.input, &network.condition, &network.final_ada, &network.final}) {
        if (Result<> known = packed(*layer); !known) return known;
    }
    for (std::uint32_t i = 0; i < network.block_count; ++i) {
        const tessera_mlp_denoiser_block &block = network.blocks[i];
        if (Result<> here = state.placed(
                {{operations::read("gamma"), block.gamma}, {operations::read("beta"), block.beta}});
            !here)
            return here;
        for (const auto *layer : {&block.mlp_in, &block.mlp_out, &block.ada}) {
            if (Result<> known = packed(*layer); !known) return known;
        }
    }
    return {};
}

tessera_status create(const tessera_compute *compute, const tessera_mlp_denoiser_network *network,
                      std::uint32_t max_rows, std::uint32_t max_steps, std::uint32_t guided,
                      tessera_mlp_denoiser_chain **out_chain) {
    CheckedState &state = CheckedState::of(compute);
    return state.answer(
        "denoise create",
        [&]() -> Result<> {
            if (Result<> allowed = state.not_stepping(); !allowed) return allowed;
            if (Result<> given = sized_network(network, out_chain); !given) return given;
            if (Result<> fits = operands::denoise_network(network, max_rows, max_steps); !fits)
                return fits;
            return packed_layers(state, operations::copy_options(network));
        },
        [&] {
            tessera_mlp_denoiser_chain *inner = nullptr;
            const tessera_status status = state.inner_denoise->create(
                &state.inner, network, max_rows, max_steps, guided, &inner);
            if (status != TESSERA_OK) return status;
            auto chain = std::make_unique<CheckedChain>(CheckedChain{
                inner, operations::copy_options(network), max_rows, max_steps, guided});
            state.remember(chain.get(), "chain", fmt::format("of {} rows", max_rows));
            *out_chain = reinterpret_cast<tessera_mlp_denoiser_chain *>(chain.release());
            return status;
        });
}

void destroy(const tessera_compute *compute, tessera_mlp_denoiser_chain *chain) {
    if (chain == nullptr) return;
    CheckedState &state = CheckedState::of(compute);
    state.answer(
        "denoise destroy", [&] { return known_chain(state, chain); },
        [&] {
            const std::unique_ptr<CheckedChain> owned(checked_chain(chain));
            (void)state.forget(chain);
            state.inner_denoise->destroy(&state.inner, owned->inner);
            const Result<> allowed = state.not_stepping();
            if (!allowed) state.fail("denoise destroy", allowed.error());
            return tessera_status{TESSERA_OK};
        });
}

void begin(const tessera_compute *compute, tessera_mlp_denoiser_chain *chain,
           const tessera_mlp_denoiser_set *set) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "denoise begin",
        [&]() -> Result<> {
            if (Result<> known = known_chain(state, chain); !known) return known;
            if (Result<> given = sized(set); !given) return given;
            const CheckedChain &own = *checked_chain(chain);
            if (Result<> fits = operands::denoise_set(own.network, set, own.max_rows, own.max_steps,
                                                      own.guided);
                !fits)
                return fits;
            const tessera_mlp_denoiser_set copied = operations::copy_options(set);
            return state.placed({{operations::read("condition"), copied.condition},
                                 {operations::read("time"), copied.time},
                                 {operations::optional("noise"), copied.noise}});
        },
        [&] {
            CheckedChain &own = *checked_chain(chain);
            const tessera_mlp_denoiser_set copied = operations::copy_options(set);
            own.rows = copied.rows;
            own.step_count = copied.step_count;
            own.next_step = 0;
            state.inner_denoise->begin(&state.inner, own.inner, set);
        });
}

void advance(const tessera_compute *compute, tessera_mlp_denoiser_chain *chain,
             std::uint32_t first_step, std::uint32_t count, const tessera_tensor *x,
             const tessera_tensor *model_out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "denoise advance",
        [&]() -> Result<> {
            if (Result<> known = known_chain(state, chain); !known) return known;
            const CheckedChain &own = *checked_chain(chain);
            if (Result<> fits =
                    operands::denoise_advance(own.network, own.rows, own.step_count, own.next_step,
                                              first_step, count, x, model_out);
                !fits)
                return fits;
            const Operands operands{{operations::optional("model_out"), model_out},
                                    {operations::written("x"), x}};
            if (Result<> here = state.placed(operands); !here) return here;
            return state.apart(operands);
        },
        [&] {
            CheckedChain &own = *checked_chain(chain);
            own.next_step += count;
            state.inner_denoise->advance(&state.inner, own.inner, first_step, count, x, model_out);
        });
}

} // namespace

const tessera_ext_mlp_denoiser *checked_denoise() {
    static constexpr tessera_ext_mlp_denoiser kTable{create, destroy, begin, advance};
    return &kTable;
}

} // namespace tessera
