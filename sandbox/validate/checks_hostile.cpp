// What a hostile, newer or poorer host does: odd values and inputs, structs of another size,
// missing services, random calls; and what is left behind after many jobs.
#include "core/log.hpp"
#include "sandbox/validate/process_state.hpp"
#include "sandbox/validate/subject.hpp"

#include <tessera/ext/inputs.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>

namespace tessera::validate {
namespace {

constexpr std::int64_t kFewSteps = 3;
constexpr int kJobs = 24;
constexpr std::size_t kGrowth = std::size_t{256} << 10; // bytes over kJobs that are no leak
constexpr int kRandomJobs = 32;

// A few steps; an error is fine if it says why.
void try_values(Active &active, const std::vector<tessera_value> &values, std::string_view what) {
    RunSettings settings;
    settings.values = &values;
    settings.steps = kFewSteps;
    const RunResult result = run(active, settings);
    check_status(fmt::format("begin with {}", what), result.begun, result.error);
    if (result.begun == TESSERA_OK && result.ended != TESSERA_MORE) {
        check_status(fmt::format("step with {}", what), result.ended, result.error);
    }
}

// ---- values ------------------------------------------------------------------------------------

void no_values(const Options &options) {
    Active active(options);
    try_values(active, {}, "no values");
}

void unknown_values(const Options &options) {
    Active active(options);
    auto values = active.params().snapshot().values;
    values.push_back({0xdeadbeef, TESSERA_PARAM_FLOAT, {.number = 1.0}});
    RunSettings settings;
    settings.values = &values;
    const RunResult result = run(active, settings);
    if (!result.done()) fail("a value with an unknown id ends the job: {}", result.error);
}

void extremes(const Options &options) {
    Active active(options);
    Params &params = active.params();
    for (const bool highest : {false, true}) {
        for (const Param &param : params.descriptions()) {
            // Sizes are as large as the machine allows; that is no mistake of a value.
            if (param.type == ParamType::kText || param.key == TESSERA_KEY_WIDTH ||
                param.key == TESSERA_KEY_HEIGHT) {
                continue;
            }
            params.reset();
            for (const auto &[key, text] : options.settings) (void)params.set_text(key, text);
            (void)params.set(param.id, highest ? param.max : param.min);
            const ParamSnapshot values = params.snapshot();
            try_values(active, values.values,
                       fmt::format("{} at its {}", param.key, highest ? "highest" : "lowest"));
        }
    }
}

void out_of_range(const Options &options) {
    Active active(options);
    const ParamSnapshot good = active.params().snapshot();
    const auto descriptions = active.params().descriptions();
    for (std::size_t i = 0; i < good.values.size(); ++i) {
        if (descriptions[i].key == TESSERA_KEY_WIDTH || descriptions[i].key == TESSERA_KEY_HEIGHT) {
            continue; // the host conforms them, and memory is the only bound
        }
        auto values = good.values;
        if (descriptions[i].type == ParamType::kFloat) {
            for (const double bad : {std::numeric_limits<double>::quiet_NaN(), -1e30, 1e30}) {
                values[i].as.number = bad;
                try_values(active, values, fmt::format("{} = {}", descriptions[i].key, bad));
            }
        } else if (descriptions[i].type != ParamType::kText) {
            for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{0}}) {
                values[i].as.integer = bad;
                try_values(active, values, fmt::format("{} = {}", descriptions[i].key, bad));
            }
        }
    }
}

// ---- inputs ------------------------------------------------------------------------------------

tessera_tensor picture(std::vector<std::uint8_t> &bytes, std::int64_t height, std::int64_t width,
                       std::int64_t channels) {
    bytes.assign(static_cast<std::size_t>(height * width * channels), 128);
    return {bytes.data(),
            TESSERA_DTYPE_U8,
            TESSERA_MEMORY_HOST,
            TESSERA_LAYOUT_STRIDED,
            channels > 1 ? 3 : 2,
            {height, width, channels > 1 ? channels : 0, 0},
            {width * channels, channels > 1 ? channels : 1, channels > 1 ? 1 : 0, 0}};
}

void try_inputs(Active &active, std::vector<tessera_input> inputs, std::string_view what) {
    RunSettings settings;
    settings.inputs = std::move(inputs);
    settings.steps = kFewSteps;
    const RunResult result = run(active, settings);
    check_status(fmt::format("begin with {}", what), result.begun, result.error);
    if (result.begun == TESSERA_OK && result.ended != TESSERA_MORE) {
        check_status(fmt::format("step with {}", what), result.ended, result.error);
    }
}

void unknown_input(const Options &options) {
    Active active(options);
    std::vector<std::uint8_t> bytes;
    try_inputs(active, {{"no_such_input", picture(bytes, 4, 4, 4)}}, "an unknown input");
}

void odd_inputs(const Options &options) {
    Active active(options);
    std::vector<std::uint8_t> image, mask;
    for (const auto &[height, width] : {std::pair{3, 5}, {1, 1}, {1, 640}, {333, 77}}) {
        const std::string size = fmt::format("{} x {}", width, height);
        const tessera_input as_image{TESSERA_INPUT_IMAGE, picture(image, height, width, 4)};
        const tessera_input as_mask{TESSERA_INPUT_MASK, picture(mask, height, width, 1)};
        try_inputs(active, {as_image}, "an image of " + size);
        try_inputs(active, {as_mask}, "a mask of " + size + " alone");
        try_inputs(active, {as_image, as_mask}, "an image and a mask of " + size);
    }
}

void broken_inputs(const Options &options) {
    Active active(options);
    std::vector<std::uint8_t> bytes;
    for (const char *const key : {TESSERA_INPUT_IMAGE, TESSERA_INPUT_MASK, TESSERA_INPUT_LATENTS}) {
        tessera_tensor tensor = picture(bytes, 8, 8, 4);
        tensor.dtype = TESSERA_DTYPE_F64;
        tensor.shape[1] = 1; // no more bytes than there are
        try_inputs(active, {{key, tensor}}, fmt::format("'{}' of another type", key));
        tensor = picture(bytes, 8, 8, 4);
        tensor.rank = 1;
        try_inputs(active, {{key, tensor}}, fmt::format("'{}' of another rank", key));
        tensor = picture(bytes, 8, 8, 4);
        tensor.shape[0] = 0;
        try_inputs(active, {{key, tensor}}, fmt::format("'{}' without a row", key));
    }
}

// ---- another version of the host ---------------------------------------------------------------

void bigger_request(const Options &options) {
    Active active(options);
    RunSettings settings;
    const RunResult first = whole_run(active, settings);
    settings.request_size = sizeof(tessera_request) + 32;
    const RunResult second = run(active, settings);
    if (!second.done()) fail("a bigger request is refused: {}", second.error);
    if (first.pictures[0].bytes != second.pictures[0].bytes) {
        fail("bytes behind the request that it knows change the picture");
    }
}

void smaller_request(const Options &options) {
    Active active(options);
    RunSettings settings;
    settings.request_size = offsetof(tessera_request, value_count); // values and inputs are absent
    settings.steps = kFewSteps;
    const RunResult result = run(active, settings);
    check_status("begin with a smaller request", result.begun, result.error);
}

void no_services(const Options &options) {
    static const tessera_host kBare{
        TESSERA_ABI_VERSION,
        0,
        "bare",
        "0",
        nullptr,
        [](const tessera_host *, tessera_log_level level, const char *source, const char *message) {
            log::write(static_cast<log::Level>(level), source != nullptr ? source : "",
                       message != nullptr ? message : "");
        },
        [](const tessera_host *, const char *) -> const void * { return nullptr; }};
    try {
        Active active(options, &kBare);
        RunSettings settings;
        settings.steps = kFewSteps;
        const RunResult result = run(active, settings);
        check_status("begin without services", result.begun, result.error);
    } catch (const Finding &finding) {
        // Refusing is fine, with a reason.
        if (finding.outcome.text.ends_with(": ") || finding.outcome.text.ends_with("no reason"))
            throw;
    }
}

// ---- two at a time, many after each other ------------------------------------------------------

void two_jobs(const Options &options) {
    Active active(options);
    const tessera_generator *const table = active.table();
    const RunResult alone = whole_run(active);
    // The first job is open while the whole second one runs.
    const ParamSnapshot values = active.params().snapshot();
    tessera_request request{};
    request.struct_size = sizeof request;
    request.seed = 7;
    request.image_count = 1;
    request.value_count = static_cast<std::uint32_t>(values.values.size());
    request.values = values.values.data();
    const tessera_sink sink{
        nullptr,
        [](const tessera_sink *, std::uint32_t, std::uint32_t, tessera_tensor *) -> tessera_status {
            return TESSERA_ERROR_CANCELLED;
        },
        [](const tessera_sink *, const tessera_event *) -> tessera_status { return TESSERA_OK; },
        [](const tessera_sink *) -> std::int32_t { return 0; }};
    tessera_job *open = nullptr;
    std::string error;
    if (guarded_call("begin", error, [&] { return table->begin(table, &request, &sink, &open); }) !=
            TESSERA_OK ||
        open == nullptr) {
        fail("a job that ran does not begin again: {}", error);
    }
    const RunResult second = run(active);
    table->end(table, open);
    if (second.begun == TESSERA_ERROR_BUSY) return;
    check_status("begin of a second job", second.begun, second.error);
    if (!second.done() || second.pictures[0].bytes != alone.pictures[0].bytes) {
        fail("a job next to another one makes another picture");
    }
}

void leaves_memory(const Options &options) {
    Active active(options);
    for (int i = 0; i < 3; ++i) (void)run(active);
    const std::size_t before = allocated_bytes();
    for (int i = 0; i < kJobs; ++i) (void)run(active);
    const std::size_t after = allocated_bytes();
    if (after > before + kGrowth) {
        fail("{} KiB are left after {} jobs", (after - before) >> 10, kJobs);
    }
}

template <std::size_t (*kCount)()>
void leaves_none(const Options &options) {
    { Active first(options); }
    const std::size_t before = kCount();
    for (int i = 0; i < 4; ++i) {
        Active active(options);
        (void)run(active);
    }
    if (kCount() > before) fail("{} more than before after 4 activations", kCount() - before);
}

// ---- chance ------------------------------------------------------------------------------------

void random_jobs(const Options &options) {
    std::mt19937_64 random(options.seed);
    const auto below = [&](std::uint64_t bound) { return random() % bound; };
    Active active(options);
    for (int i = 0; i < kRandomJobs; ++i) {
        RunSettings settings;
        settings.seed = random();
        settings.budget_us = below(3) == 0 ? static_cast<std::uint32_t>(below(5'000)) : 0;
        settings.first_image = static_cast<std::uint32_t>(below(5));
        settings.preview_every = static_cast<std::uint32_t>(below(4));
        settings.steps = static_cast<std::int64_t>(below(8));
        settings.stop = below(8) == 0;
        const RunResult result = run(active, settings);
        check_status(fmt::format("begin of random job {} (--seed {})", i, options.seed),
                     result.begun, result.error);
    }
}

void random_values(const Options &options) {
    std::mt19937_64 random(options.seed);
    Active active(options);
    Params &params = active.params();
    for (int i = 0; i < kRandomJobs; ++i) {
        for (const Param &param : params.descriptions()) {
            if (param.type == ParamType::kText || param.key == TESSERA_KEY_WIDTH ||
                param.key == TESSERA_KEY_HEIGHT) {
                continue;
            }
            std::uniform_real_distribution<double> within(param.min,
                                                          std::max(param.min, param.max));
            (void)params.set(param.id, within(random));
        }
        const ParamSnapshot values = params.snapshot();
        try_values(active, values.values,
                   fmt::format("random values {} (--seed {})", i, options.seed));
    }
}

constexpr Check kChecks[] = {
    {"values.none", "A request without values is no accident.", {"run.finishes"}, no_values},
    {"values.unknown",
     "A value with an unknown id is passed over.",
     {"run.finishes"},
     unknown_values},
    {"values.extremes", "Every number at its lowest and highest.", {"cancel.every-step"}, extremes},
    {"values.out-of-range",
     "Numbers out of range give a reason or a picture.",
     {"cancel.every-step"},
     out_of_range},
    {"inputs.unknown", "An unknown input is no accident.", {"cancel.every-step"}, unknown_input},
    {"inputs.odd-sizes",
     "Images and masks of odd sizes are no accident.",
     {"cancel.every-step"},
     odd_inputs},
    {"inputs.broken",
     "Tensors of another type or rank are no accident.",
     {"cancel.every-step"},
     broken_inputs},
    {"forward.bigger-request", "A newer host's request does.", {"same.again"}, bigger_request},
    {"forward.smaller-request",
     "An older host's request does.",
     {"cancel.every-step", "values.none"},
     smaller_request},
    {"forward.no-services",
     "A host without services gets a reason.",
     {"run.finishes"},
     no_services},
    {"jobs.two",
     "A second job is BUSY or independent.",
     {"same.again", "cancel.at-once"},
     two_jobs},
    {"leaves.no-threads",
     "Activations leave no thread behind.",
     {"run.finishes"},
     leaves_none<count_threads>},
    {"leaves.no-memory", "Jobs leave no memory behind.", {"leaves.no-threads"}, leaves_memory},
    {"leaves.no-files",
     "Activations leave no file open.",
     {"run.finishes"},
     leaves_none<count_descriptors>},
    {"random.jobs", "Random jobs, ended anywhere.", {"cancel.leaves-nothing"}, random_jobs},
    {"random.values",
     "Random values within what is described.",
     {"values.extremes"},
     random_values},
};

} // namespace

std::span<const Check> hostile_checks() { return kChecks; }

} // namespace tessera::validate
