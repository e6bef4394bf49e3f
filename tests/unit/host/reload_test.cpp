// A plugin that is built again while a player uses it.
// TESSERA_RELOADS sets how often ManyBuildsLeaveNothingBehind does so; CTest runs a few.
#include "core/log.hpp"
#include "host/run/player.hpp"
#include "tests/unit/host/host_fixture.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::uint64_t kLongUs = 60'000'000;

// A player on a copy of the test plugin that may be overwritten.
class ReloadTest : public testing::Test {
  protected:
    ReloadTest() {
        log::set_sink({});
        build();
        HostConfig host;
        host.plugin_dirs = {folder_.path()};
        PlayerConfig config = test::player_config("test.good");
        config.host = Host::create(host);
        config.restart_on_change = false;
        auto player = Player::create(std::move(config));
        EXPECT_TRUE(player) << player.error().message;
        if (player) player_ = std::move(*player);
    }
    // Into the file, in place, as some linkers do.
    void build() const {
        fs::copy_file(test::plugin_path("faults"), file(), fs::copy_options::overwrite_existing);
    }
    [[nodiscard]] fs::path file() const { return folder_.path() / "changing.so"; }
    // Asked twice, as a file that is still being written needs.
    bool sees_new_build() {
        (void)player_->take_new_build();
        return player_->take_new_build();
    }
    std::vector<PlayerEvent> run(std::uint64_t seed) {
        const std::uint64_t job = player_->submit({.seed = seed});
        EXPECT_TRUE(player_->wait(kLongUs));
        std::vector<PlayerEvent> of_it;
        for (PlayerEvent &event : player_->take_events()) {
            if (event.job == job) of_it.push_back(std::move(event));
        }
        return of_it;
    }

    test::TemporaryFolder folder_;
    std::unique_ptr<Player> player_;
};

TEST_F(ReloadTest, KeepsValuesAndNumbers) {
    ASSERT_TRUE(player_->set_text("steps", "7"));
    ASSERT_TRUE(player_->set_text("note", "kept"));
    const std::string before = player_->params().to_json();
    ASSERT_FALSE(run(1).empty());
    EXPECT_FALSE(sees_new_build());
    build();
    EXPECT_TRUE(sees_new_build());
    EXPECT_FALSE(sees_new_build()); // told once
    const auto renewed = player_->renew();
    ASSERT_TRUE(renewed) << renewed.error().message;
    EXPECT_EQ(player_->params().to_json(), before);
    const auto events = run(1);
    ASSERT_FALSE(events.empty());
    EXPECT_EQ(events.back().type, PlayerEvent::Type::kFinished);
    EXPECT_EQ(events.back().job, 2u);
    EXPECT_EQ(events.back().total_steps, 7u);
}

TEST_F(ReloadTest, ABrokenBuildChangesNothingAndSaysWhy) {
    std::ofstream(file(), std::ios::binary | std::ios::trunc) << "half a file";
    EXPECT_TRUE(sees_new_build());
    const auto renewed = player_->renew();
    ASSERT_FALSE(renewed);
    EXPECT_THAT(renewed.error().message, HasSubstr("changing.so"));
    EXPECT_EQ(run(1).back().type, PlayerEvent::Type::kFinished);
    build(); // and the next one is seen
    EXPECT_TRUE(sees_new_build());
    EXPECT_TRUE(player_->renew());
    EXPECT_EQ(run(1).back().type, PlayerEvent::Type::kFinished);
}

TEST_F(ReloadTest, AFileThatIsGoneIsNoBuild) {
    fs::remove(file());
    EXPECT_FALSE(sees_new_build());
    EXPECT_EQ(run(1).back().type, PlayerEvent::Type::kFinished);
}

TEST_F(ReloadTest, EndsWhatIsUnderWay) {
    ASSERT_TRUE(player_->set_text("steps", "1000000000"));
    const std::uint64_t job = player_->submit({.seed = 1});
    build();
    EXPECT_TRUE(sees_new_build());
    ASSERT_TRUE(player_->renew());
    EXPECT_TRUE(player_->wait(kLongUs));
    int ends = 0;
    for (const PlayerEvent &event : player_->take_events()) {
        ends += event.job == job && event.type == PlayerEvent::Type::kCancelled ? 1 : 0;
    }
    EXPECT_EQ(ends, 1);
}

long resident_kib() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
    }
    return 0;
}

TEST_F(ReloadTest, ManyBuildsLeaveNothingBehind) {
    const char *const given = std::getenv("TESSERA_RELOADS");
    const int rounds = given != nullptr ? std::atoi(given) : 20;
    const auto count = [](const char *what) {
        return std::distance(fs::directory_iterator(what), {});
    };
    const auto reload = [&](int round) {
        build();
        ASSERT_TRUE(sees_new_build()) << "round " << round;
        const auto renewed = player_->renew();
        ASSERT_TRUE(renewed) << "round " << round << ": " << renewed.error().message;
        ASSERT_EQ(run(1).back().type, PlayerEvent::Type::kFinished) << "round " << round;
    };
    for (int i = 0; i < 10; ++i) reload(i); // what is kept for reuse is there now
    const auto files = count("/proc/self/fd"), threads = count("/proc/self/task");
    const long memory = resident_kib();
    for (int i = 0; i < rounds && !HasFatalFailure(); ++i) reload(i);
    EXPECT_EQ(count("/proc/self/fd"), files);
    EXPECT_EQ(count("/proc/self/task"), threads);
    EXPECT_LT(resident_kib() - memory, 1024) << "KiB more after " << rounds << " builds";
    RecordProperty("rounds", rounds);
    RecordProperty("more_kib", static_cast<int>(resident_kib() - memory));
}

} // namespace
} // namespace tessera
