// tessera-validate: a hostile host for authors of plugins.
//
//   tessera-validate build/lib/my_plugin.so
//   tessera-validate my_plugin.so --model weights.safetensors --set width=64 --only-failed
//   tessera-validate my_plugin.so --include frames. --in-process       under a debugger
//
// Exit codes: 0 nothing failed, 1 something failed, crashed or took too long, 2 usage.
#include "core/log.hpp"
#include "sandbox/validate/runner.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <exception>
#include <iterator>
#include <system_error>

namespace tessera::validate {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

struct Arguments {
    Options options;
    RunnerOptions runner;
    std::vector<std::string> settings;
    bool only_failed = false;
    bool json = false;
    bool list = false;
};

void add_options(CLI::App &app, Arguments &arguments) {
    Options &options = arguments.options;
    app.add_option("library", options.library, "The plugin, a shared library");
    app.add_option("--id", options.id, "Which of its generators; the first one otherwise");
    app.add_option("--model", options.model, "Weight file to open it with");
    app.add_option("--set", arguments.settings,
                   "A parameter, KEY=VALUE, for every run: small values, short checks");
    app.add_option("--backend", options.backend, "Where it computes")->capture_default_str();
    app.add_option("--threads", options.threads, "Threads that it may use")
        ->capture_default_str()
        ->check(CLI::Range(1, 256));
    app.add_option("--seed", options.seed, "Of the random checks")->capture_default_str();
    app.add_option("--include", arguments.runner.include,
                   "Only checks with this in their id, and what they need");
    app.add_option("--timeout", arguments.runner.timeout_s, "Seconds for one check")
        ->capture_default_str()
        ->check(CLI::Range(0.1, 86400.0));
    app.add_flag("--only-failed", arguments.only_failed,
                 "Say nothing of what passed or was skipped");
    app.add_flag("--in-process", arguments.runner.in_process, "No child processes: for a debugger");
    app.add_flag("--json", arguments.json, "One JSON object on standard output");
    app.add_flag("--list", arguments.list, "Print the checks and end");
}

void print_answer(const Answer &answer) {
    fmt::print("{:9}  {:26}  {}\n", verdict_name(answer.outcome.verdict), answer.check->id,
               answer.outcome.text.empty() ? std::string(answer.check->asks) : answer.outcome.text);
    std::fflush(stdout);
}

std::string to_json(const std::vector<Answer> &answers, const Options &options) {
    nlohmann::json checks = nlohmann::json::array();
    for (const Answer &answer : answers) {
        checks.push_back({{"id", answer.check->id},
                          {"asks", answer.check->asks},
                          {"verdict", verdict_name(answer.outcome.verdict)},
                          {"text", answer.outcome.text},
                          {"ms", answer.took_ms}});
    }
    const nlohmann::json all{{"library", options.library.string()},
                             {"id", options.id},
                             {"seed", options.seed},
                             {"checks", checks}};
    return all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

// "key=value" as a pair; empty: the text is none.
bool read_settings(Arguments &arguments) {
    for (const std::string &text : arguments.settings) {
        const auto equals = text.find('=');
        if (equals == std::string::npos || equals == 0) {
            fmt::print(stderr, "tessera-validate: --set {}: expected KEY=VALUE\n", text);
            return false;
        }
        arguments.options.settings.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    return true;
}

int print_list(const std::vector<Check> &checks) {
    for (const Check &check : checks) fmt::print("{:26}  {}\n", check.id, check.asks);
    return 0;
}

int validate(Arguments &arguments) {
    const std::vector<Check> checks = all_checks();
    if (arguments.list) return print_list(checks);
    if (arguments.options.library.empty()) {
        fmt::print(stderr, "tessera-validate: name a library, or see --help\n");
        return kExitUsage;
    }
    if (!read_settings(arguments)) return kExitUsage;
    std::error_code code;
    arguments.options.library = std::filesystem::canonical(arguments.options.library, code);
    if (code) {
        fmt::print(stderr, "tessera-validate: library: {}\n", code.message());
        return kExitUsage;
    }
    log::set_sink({}); // errors of plugins are read from the thread that made them
    std::size_t bad = 0;
    std::size_t warnings = 0;
    const auto answers =
        run_checks(checks, arguments.options, arguments.runner, [&](const Answer &answer) {
            bad += answer.is_bad();
            warnings += answer.outcome.verdict == Verdict::kWarning;
            const bool is_quiet = arguments.only_failed && !answer.is_bad();
            if (!arguments.json && !is_quiet) print_answer(answer);
        });
    if (arguments.json) {
        fmt::print("{}\n", to_json(answers, arguments.options));
    } else if (answers.empty()) {
        fmt::print(stderr, "tessera-validate: no check has that in its id; --list names them\n");
        return kExitUsage;
    } else {
        fmt::print("{} checks, {} bad, {} warnings\n", answers.size(), bad, warnings);
    }
    return bad > 0 ? kExitFailed : 0;
}

} // namespace

std::vector<Check> all_checks() {
    std::vector<Check> all;
    for (const auto group :
         {library_checks(), description_checks(), run_checks(), hostile_checks()}) {
        all.insert(all.end(), group.begin(), group.end());
    }
    return all;
}

} // namespace tessera::validate

int main(int argc, char **argv) {
    try {
        CLI::App app{
            "Asks a plugin what a host will ask of it, and worse. Each check runs in a process of "
            "its own.",
            "tessera-validate"};
        tessera::validate::Arguments arguments;
        add_options(app, arguments);
        try {
            app.parse(argc, argv);
        } catch (const CLI::ParseError &error) {
            return app.exit(error) == 0 ? 0 : tessera::validate::kExitUsage;
        }
        return tessera::validate::validate(arguments);
    } catch (const std::exception &exception) {
        std::fprintf(stderr, "tessera-validate: %s\n", exception.what());
        return 1;
    }
}
