// tessera-check-case WEIGHTS CASE: how far our results are from a recorded case, stage by stage.
#include "golden/check_case.hpp"

#include "compute/registry.hpp"
#include "core/log.hpp"
#include "host/plugin/services.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>

namespace {

constexpr int kOk = 0;
constexpr int kLimitExceeded = 1;
constexpr int kBadInput = 2;

struct Options {
    std::string weights;
    std::string case_file;
    std::string decoder;
    std::string precision = "exact";
    std::string backend = "cpu";
    std::string isa;
    unsigned threads = 0;
};

int run(const Options &options) {
    tessera::ComputeOptions compute_options;
    compute_options.threads = options.threads;
    auto compute = tessera::Compute::open(
        options.isa.empty() ? options.backend : options.backend + ":isa=" + options.isa,
        compute_options);
    if (!compute) {
        std::fprintf(stderr, "tessera-check-case: %s\n", compute.error().message.c_str());
        return kBadInput;
    }
    tessera::HostConfig host_config;
    host_config.program = "tessera-check-case";
    const auto host = tessera::Host::create(host_config);
    const tessera::golden::CaseContext context{
        tessera::sdk::Host(host->table(), "check-case"), tessera::sdk::Compute(compute->table()),
        options.precision == "exact", options.weights, options.decoder};
    std::printf("%s on %s, %s precision\n", options.case_file.c_str(),
                compute->table()->info->device, options.precision.c_str());
    try {
        const tessera::golden::Report report =
            tessera::golden::check_case(context, options.case_file);
        report.print();
        std::printf("%s\n", report.ok() ? "all limits hold" : "a limit does NOT hold");
        return report.ok() ? kOk : kLimitExceeded;
    } catch (const std::exception &error) {
        const std::string logged = tessera::log::take_last_error();
        std::fprintf(stderr, "tessera-check-case: %s%s%s\n", error.what(),
                     logged.empty() ? "" : ": ", logged.c_str());
        return kBadInput;
    }
}

} // namespace

int main(int argc, char **argv) {
    Options options;
    CLI::App app{
        "Compares every stage that a recorded case holds, and names those that it does not. "
        "Exit status: 0 all limits hold, 1 one does not, 2 bad input."};
    app.add_option("WEIGHTS", options.weights, "Weights file; '-' for cases that need none")
        ->required();
    app.add_option("CASE", options.case_file, "Case file")->required();
    app.add_option("--decoder", options.decoder, "Latent codec for cases that end in pictures");
    app.add_option("--precision", options.precision, "Of the weights")
        ->check(CLI::IsMember({"exact", "default"}))
        ->capture_default_str();
    app.add_option("--backend", options.backend, "Compute backend")->capture_default_str();
    app.add_option("--isa", options.isa, "Instruction set of the CPU; empty: the best one");
    app.add_option("--threads", options.threads, "0: one per core")->capture_default_str();
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return app.exit(error) == 0 ? kOk : kBadInput;
    }
    tessera::log::set_sink({});
    return run(options);
}
