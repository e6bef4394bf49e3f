// The host table as a plugin sees it.
#include "core/log.hpp"
#include "host/plugin/services.hpp"
#include "tests/unit/assets/safetensors_bytes.hpp"
#include "tests/unit/host/host_fixture.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <tessera/ext/clock.h>
#include <tessera/ext/parallel.h>
#include <tessera/ext/thread_check.h>
#include <tessera/ext/weights.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace tessera {
namespace {

using testing::HasSubstr;

template <class Table>
const Table &extension(const Host &host, const char *id) {
    return *static_cast<const Table *>(host.table()->get_extension(host.table(), id));
}

class Services : public testing::Test {
  protected:
    Services() { config_.model_dirs = {folder_.path()}; }
    void SetUp() override {
        (void)folder_.write("good.safetensors",
                            test::safetensors_bytes(test::kGoodHeader, test::kGoodDataBytes));
        (void)folder_.write("neighbour.safetensors", test::safetensors_bytes("{}", 0));
        (void)folder_.write("bad.safetensors", "nonsense");
        host_ = Host::create(config_);
    }
    [[nodiscard]] const tessera_ext_weights &weights() const {
        return extension<tessera_ext_weights>(*host_, TESSERA_EXT_WEIGHTS);
    }

    test::TemporaryFolder folder_;
    HostConfig config_;
    std::shared_ptr<Host> host_;
};

TEST_F(Services, SaysWhoItIs) {
    EXPECT_EQ(host_->table()->abi_version, static_cast<std::uint32_t>(TESSERA_ABI_VERSION));
    EXPECT_STREQ(host_->table()->name, "tessera");
    EXPECT_EQ(host_->table()->get_extension(host_->table(), "tessera.unknown/1"), nullptr);
    EXPECT_EQ(host_->table()->get_extension(host_->table(), nullptr), nullptr);
}

TEST_F(Services, LogLinesReachTheLogAndErrorsAreKept) {
    std::vector<std::string> lines;
    log::set_sink([&](log::Level, std::string_view source, std::string_view message) {
        lines.push_back(std::string(source) + "|" + std::string(message));
    });
    host_->table()->log(host_->table(), TESSERA_LOG_ERROR, "me", "it broke");
    host_->table()->log(host_->table(), 99, nullptr, nullptr);
    log::set_sink({});
    EXPECT_THAT(lines, testing::ElementsAre("me|it broke", "plugin|"));
    EXPECT_EQ(log::take_last_error(), "it broke");
    EXPECT_EQ(log::take_last_error(), "");
}

TEST_F(Services, WeightsByNameAndBeside) {
    const tessera_weights *file = nullptr;
    ASSERT_EQ(weights().open(host_->table(), nullptr, "good", &file), TESSERA_OK);
    EXPECT_THAT(weights().get_path(file), HasSubstr("good.safetensors"));
    EXPECT_STREQ(weights().get_metadata(file, "kind"), "test");
    EXPECT_EQ(weights().get_metadata(file, "nothing"), nullptr);
    ASSERT_EQ(weights().get_count(file), 2U);
    EXPECT_STREQ(weights().get_name(file, 0), "a");
    EXPECT_EQ(weights().get_name(file, 2), nullptr);
    tessera_tensor tensor{};
    ASSERT_EQ(weights().find(file, "a", &tensor), TESSERA_OK);
    EXPECT_EQ(tensor.rank, 2);
    EXPECT_EQ(tensor.shape[1], 3);
    const tessera_weights *other = nullptr;
    EXPECT_EQ(weights().open(host_->table(), file, "neighbour.safetensors", &other), TESSERA_OK);
    weights().close(host_->table(), other);
    weights().discard(file, "a");
    weights().close(host_->table(), file);
}

TEST_F(Services, WeightsThatAreMissingOrWrongAreLogged) {
    const tessera_weights *file = nullptr;
    (void)log::take_last_error();
    EXPECT_EQ(weights().open(host_->table(), nullptr, "missing", &file), TESSERA_ERROR_NOT_FOUND);
    EXPECT_EQ(file, nullptr);
    EXPECT_THAT(log::take_last_error(), HasSubstr("missing"));
    EXPECT_EQ(weights().open(host_->table(), nullptr, "bad", &file),
              TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(log::take_last_error(), HasSubstr("bad.safetensors"));
    EXPECT_EQ(weights().open(host_->table(), nullptr, "", &file), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(weights().open(host_->table(), nullptr, "good", nullptr),
              TESSERA_ERROR_INVALID_ARGUMENT);
}

TEST_F(Services, ATensorThatIsNotThereIsNoLogLine) {
    const tessera_weights *file = nullptr;
    ASSERT_EQ(weights().open(host_->table(), nullptr, "good", &file), TESSERA_OK);
    (void)log::take_last_error();
    tessera_tensor tensor{};
    EXPECT_EQ(weights().find(file, "zzz", &tensor), TESSERA_ERROR_NOT_FOUND);
    EXPECT_EQ(log::take_last_error(), "");
    weights().close(host_->table(), file);
}

TEST_F(Services, KnowsWhichThreadAsks) {
    const auto &check = extension<tessera_ext_thread_check>(*host_, TESSERA_EXT_THREAD_CHECK);
    EXPECT_EQ(check.is_main(host_->table()), 1);
    EXPECT_EQ(check.is_worker(host_->table()), 0);
    std::thread([&] {
        EXPECT_EQ(check.is_main(host_->table()), 0);
        const WorkerScope worker(*host_, nullptr);
        EXPECT_EQ(check.is_worker(host_->table()), 1);
    }).join();
    const WorkerScope worker(*host_, nullptr); // a program with one thread
    EXPECT_EQ(check.is_worker(host_->table()), 1);
}

TEST_F(Services, TheClockIsTheHosts) {
    const auto &system = extension<tessera_ext_clock>(*host_, TESSERA_EXT_CLOCK);
    const std::uint64_t before = system.now_ns(host_->table());
    EXPECT_GT(before, 0U);
    EXPECT_LE(before, system.now_ns(host_->table()));
    config_.now_ns = [] { return std::uint64_t{1'234'567}; };
    const auto host = Host::create(config_);
    EXPECT_EQ(extension<tessera_ext_clock>(*host, TESSERA_EXT_CLOCK).now_ns(host->table()),
              1'234'567U);
    EXPECT_EQ(host->now_us(), 1'234U);
}

TEST_F(Services, ParallelForRunsEveryIndexOnce) {
    const auto &parallel = extension<tessera_ext_parallel>(*host_, TESSERA_EXT_PARALLEL);
    constexpr std::uint32_t kCount = 1000;
    for (const bool with_pool : {false, true}) {
        ThreadPool pool({.threads = 3});
        const WorkerScope worker(*host_, with_pool ? &pool : nullptr);
        EXPECT_EQ(parallel.get_thread_count(host_->table()), with_pool ? 3U : 1U);
        std::vector<std::atomic<int>> hits(kCount);
        parallel.parallel_for(
            host_->table(), kCount,
            [](void *context, std::uint32_t i) {
                ++(*static_cast<std::vector<std::atomic<int>> *>(context))[i];
            },
            &hits);
        for (const auto &hit : hits) EXPECT_EQ(hit.load(), 1);
    }
}

} // namespace
} // namespace tessera
