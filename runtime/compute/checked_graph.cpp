// The graph extension of the checked table. What a recording calls comes back through this table,
// so that its operations are checked as any others.
#include "compute/checked_state.hpp"

#include <string_view>

namespace tessera {

namespace {

Result<> known_graph(const CheckedState &state, const void *graph) {
    const auto found = state.live.find(graph);
    if (found != state.live.end() && std::string_view(found->second.made_by) == "graph") return {};
    return make_error(Status::kInvalidArgument,
                      "the graph is not one of this compute, or is destroyed already");
}

tessera_status record(const tessera_compute *compute, void (*run)(void *context), void *context,
                      tessera_graph **out_graph) {
    CheckedState &state = CheckedState::of(compute);
    const tessera_status fits = state.answer(
        "record",
        [&]() -> Result<> {
            if (run == nullptr || out_graph == nullptr) {
                return make_error(Status::kInvalidArgument, "{} is NULL",
                                  run == nullptr ? "run" : "out_graph");
            }
            return state.not_stepping();
        },
        [] { return TESSERA_OK; });
    if (fits != TESSERA_OK) return fits;
    // No entrance is held: the operations of `run` make their own.
    state.recording = true;
    const tessera_status status = state.inner_graph->record(&state.inner, run, context, out_graph);
    state.recording = false;
    if (status != TESSERA_OK) return status;
    if (state.has_failed()) { // in this table: the wrapped compute knows nothing of it
        state.inner_graph->destroy(&state.inner, *out_graph);
        *out_graph = nullptr;
        return TESSERA_ERROR_INVALID_ARGUMENT;
    }
    state.remember(*out_graph, "graph", "a graph");
    return TESSERA_OK;
}

void replay(const tessera_compute *compute, tessera_graph *graph) {
    CheckedState &state = CheckedState::of(compute);
    bool fits = false;
    state.run(
        "replay",
        [&] {
            return all_of({state.not_recording(), known_graph(state, graph)});
        },
        [&] { fits = true; });
    if (fits) state.inner_graph->replay(&state.inner, graph);
}

void destroy(const tessera_compute *compute, tessera_graph *graph) {
    if (graph == nullptr) return;
    CheckedState &state = CheckedState::of(compute);
    (void)state.answer(
        "graph destroy",
        [&] {
            return all_of({state.not_stepping(), known_graph(state, graph)});
        },
        [&] {
            (void)state.forget(graph);
            state.inner_graph->destroy(&state.inner, graph);
            return TESSERA_OK;
        });
}

} // namespace

const tessera_ext_compute_graph *checked_graph() {
    static constexpr tessera_ext_compute_graph kTable{
        .record = record, .replay = replay, .destroy = destroy};
    return &kTable;
}

} // namespace tessera
