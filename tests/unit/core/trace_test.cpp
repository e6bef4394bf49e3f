// Traces: spans of several threads as JSON, nesting, the ring's bound, and nothing while it is off.
#include "core/trace.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace tessera {
namespace {

using Json = nlohmann::json;

// The spans, without the names of threads.
std::vector<Json> spans() {
    const Json json = Json::parse(trace::to_json());
    std::vector<Json> found;
    for (const Json &event : json.at("traceEvents")) {
        if (event.at("ph") == "X") found.push_back(event);
    }
    return found;
}

TEST(Trace, KeepsSpansWithTheirThreadsAndTimes) {
    trace::start();
    const trace::ThreadName main_name("main");
    {
        const trace::Span outer("outer");
        const trace::Span inner("inner");
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    std::thread([] {
        const trace::ThreadName name("other");
        const trace::Span span("elsewhere");
    }).join();
    trace::stop();

    const std::vector<Json> found = spans();
    ASSERT_EQ(found.size(), 3U);
    const Json &inner = found[0], &outer = found[1], &elsewhere = found[2];
    EXPECT_EQ(inner.at("name"), "inner");
    EXPECT_EQ(outer.at("name"), "outer");
    EXPECT_EQ(outer.at("ts"), 0.0);
    EXPECT_GE(inner.at("dur"), 2000.0);
    EXPECT_GE(outer.at("dur"), inner.at("dur"));
    EXPECT_EQ(inner.at("tid"), outer.at("tid"));
    EXPECT_NE(elsewhere.at("tid"), outer.at("tid"));
    std::vector<std::string> names;
    const Json all = Json::parse(trace::to_json());
    for (const Json &event : all.at("traceEvents")) {
        if (event.at("ph") == "M") names.push_back(event.at("args").at("name"));
    }
    EXPECT_EQ(names, (std::vector<std::string>{"main", "other"}));
}

TEST(Trace, ForgetsThreadsThatEndedWithoutIt) {
    trace::start();
    trace::stop(); // nothing is recorded
    std::thread([] { const trace::ThreadName name("gone"); }).join();
    EXPECT_EQ(trace::to_json().find("gone"), std::string::npos);
}

TEST(Trace, LeavesThreadsNamelessWhenThereAreTooMany) {
    trace::start();
    trace::stop();
    std::atomic<bool> over{false};
    std::vector<std::thread> threads(300);
    std::atomic<int> named{0};
    for (std::thread &thread : threads) {
        thread = std::thread([&] {
            const trace::ThreadName name("one of many");
            ++named;
            over.wait(false);
        });
    }
    while (named < 300) std::this_thread::yield();
    const auto count = [] {
        const std::string text = trace::to_json();
        std::size_t found = 0;
        for (std::size_t at = 0; (at = text.find("one of many", at)) != std::string::npos; ++at)
            ++found;
        return found;
    };
    const std::size_t at_once = count();
    EXPECT_GT(at_once, 200U);
    EXPECT_LE(at_once, 256U);
    over = true;
    over.notify_all();
    for (std::thread &thread : threads) thread.join();
    EXPECT_EQ(count(), 0U);
}

TEST(Trace, KeepsValuesNextToSpans) {
    trace::start();
    trace::count("bytes", 7);
    { const trace::Span span("work"); }
    trace::count("bytes", 1'000'000'000'000);
    trace::stop();
    trace::count("bytes", 9); // off: nothing
    std::vector<std::uint64_t> values;
    const Json all = Json::parse(trace::to_json());
    for (const Json &event : all.at("traceEvents")) {
        if (event.at("ph") != "C") continue;
        EXPECT_EQ(event.at("name"), "bytes");
        values.push_back(event.at("args").at("value"));
    }
    EXPECT_EQ(values, (std::vector<std::uint64_t>{7, 1'000'000'000'000}));
    EXPECT_EQ(spans().size(), 1U);
}

TEST(Trace, KeepsTheNewestWhenThereAreTooMany) {
    trace::start(4);
    for (int i = 0; i < 10; ++i) const trace::Span span("old");
    for (int i = 0; i < 3; ++i) const trace::Span span("new");
    trace::stop();
    int newest = 0;
    for (const Json &span : spans()) newest += span.at("name") == "new" ? 1 : 0;
    EXPECT_EQ(spans().size(), 4U);
    EXPECT_EQ(newest, 3);
}

TEST(Trace, RecordsNothingWhileItIsOff) {
    trace::start();
    trace::stop();
    { const trace::Span span("unseen"); }
    EXPECT_TRUE(spans().empty());
    EXPECT_FALSE(trace::is_on());
    {
        const trace::Span span("began too early");
        trace::start();
    }
    EXPECT_TRUE(spans().empty());
}

TEST(Trace, ManyThreadsLoseNothing) {
    trace::start(10'000);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([] {
            for (int i = 0; i < 1000; ++i) const trace::Span span("work");
        });
    }
    for (std::thread &thread : threads) thread.join();
    trace::stop();
    EXPECT_EQ(spans().size(), 4000U);
}

} // namespace
} // namespace tessera
