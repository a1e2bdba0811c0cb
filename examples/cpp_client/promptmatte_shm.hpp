// A client of PromptMatte over shared memory: frames out, mattes in, requests.
//
// One header, C++17, no dependencies; Linux, macOS, Windows; little-endian 64-bit machines.
// The protocol, with every offset used here, is docs/shm-protocol.md. Use a Client from one
// thread at a time. Example:
//
//     promptmatte::Client client("promptmatte");
//     promptmatte::Matte matte;
//     while (client.latest_matte(matte, std::chrono::seconds(3)))
//         show(matte.alpha.data(), matte.width, matte.height);

#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace promptmatte {

enum class Fault { bad_input, no_server, layout, timeout, too_large, no_memory };

struct Error : std::runtime_error {
    Error(Fault what_kind, const std::string& text) : std::runtime_error(text), fault(what_kind) {}
    Fault fault;
};

enum class PixelFormat : std::uint32_t {
    none = 0, gray8 = 1, rgb8 = 2, rgba8 = 3, rgba16f = 4, rgba32f = 5
};

// Bytes of one pixel; 0 for what is no format.
inline std::uint64_t pixel_bytes(PixelFormat format) {
    constexpr std::array<std::uint64_t, 6> bytes{0, 1, 3, 4, 8, 16};
    const auto code = static_cast<std::uint32_t>(format);
    return code < bytes.size() ? bytes[code] : 0;
}

struct FrameInfo {
    std::int64_t stream_id = 0, seq = 0, pts_ns = 0, captured_ns = 0;
};

// A picture to send. row_bytes leads from a row to the one below it: negative for a picture that
// lies bottom-up, whose `pixels` then point to its last row in memory; 0: rows without gaps.
struct Frame {
    FrameInfo info;
    PixelFormat format = PixelFormat::rgba8;
    std::uint32_t width = 0, height = 0;
    const void* pixels = nullptr;
    std::ptrdiff_t row_bytes = 0;
};

// The alpha of one frame under that frame's identity, rows top-down; fill may be empty.
struct Matte {
    FrameInfo info;
    std::uint32_t width = 0, height = 0;
    PixelFormat format = PixelFormat::none, fill_format = PixelFormat::none;
    std::int64_t anchor_seq = -1, prompts_version = 0;
    double age_ms = 0;
    std::vector<double> confidence;
    std::vector<std::uint8_t> alpha, fill;
};

struct Status {
    bool connected = false;
    std::uint64_t sent = 0, received = 0, torn = 0, missed = 0, rejected = 0;
};

namespace detail {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr std::uint32_t layout_version = 2, lane_count = 8, lane_area_bytes = 64 * 1024;
constexpr std::uint32_t min_slots = 2, max_slots = 64, max_confidences = 4;
constexpr std::size_t heartbeat_at = 64, open_at = 72, visitors_at = 128;
constexpr std::size_t frames_at = 192, mattes_at = 320, sent_at = 64;
constexpr std::size_t lanes_at = 512, lane_header_bytes = 64, reply_words_at = 32;
constexpr std::size_t lane_stride = lane_header_bytes + 2 * lane_area_bytes;
constexpr std::size_t directory_bytes = lanes_at + lane_count * lane_stride;
constexpr std::size_t newest_at = 64, slots_at = 128, slot_header_at = 64, pixels_at = 192;
constexpr auto poll_pause = std::chrono::microseconds(500);

#pragma pack(push, 1)
struct DirectoryHeader {
    char magic[8];
    std::uint32_t version, lane_count, lane_area_bytes, pid;
    std::uint64_t epoch;
    std::uint32_t crc;
};
struct ChannelRecord {
    std::uint32_t generation, slot_count;
    std::uint64_t slot_bytes, owner;
    std::uint32_t crc;
};
struct RingHeader {
    char magic[8];
    std::uint32_t version, slot_count;
    std::uint64_t slot_bytes, generation;
    std::uint32_t crc;
};
struct SlotHeader {
    std::int64_t stream_id, seq, pts_ns, captured_ns, published_ns;
    std::uint32_t width, height, format, confidence_count, fill_format;
    std::uint64_t byte_size;
    std::int64_t anchor_seq, prompts_version;
    double age_ms, confidence[max_confidences];
    std::uint32_t crc;
};
#pragma pack(pop)
static_assert(sizeof(DirectoryHeader) == 36 && sizeof(ChannelRecord) == 28);
static_assert(sizeof(RingHeader) == 36 && sizeof(SlotHeader) == 128);

inline std::uint32_t crc32(const void* bytes, std::size_t count, std::uint32_t before = 0) {
    static const auto table = [] {
        std::array<std::uint32_t, 256> made{};
        for (std::uint32_t n = 0; n < 256; ++n) {
            made[n] = n;
            for (int bit = 0; bit < 8; ++bit)
                made[n] = made[n] & 1 ? 0xEDB88320u ^ (made[n] >> 1) : made[n] >> 1;
        }
        return made;
    }();
    std::uint32_t crc = ~before;
    for (auto at = static_cast<const std::uint8_t*>(bytes); count-- > 0; ++at)
        crc = table[(crc ^ *at) & 255] ^ (crc >> 8);
    return ~crc;
}

template <class Record> void seal(Record& record) {
    record.crc = crc32(&record, sizeof record - 4);
}
template <class Record> bool sealed(const Record& record) {
    return record.crc == crc32(&record, sizeof record - 4);
}
template <class Record> bool same(const Record& one, const Record& other) {
    return std::memcmp(&one, &other, sizeof one) == 0;
}

inline std::uint64_t aligned(std::uint64_t bytes) { return (bytes + 63) / 64 * 64; }
inline void fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

inline std::uint64_t random_bits() {
    std::random_device device;
    return static_cast<std::uint64_t>(device()) << 32 | device();
}

// A mapped block of shared memory; the copies of one Segment share it. No name is removed by it.
struct Segment {
    std::shared_ptr<std::uint8_t> data;
    std::uint64_t size = 0;

    explicit operator bool() const { return data != nullptr; }

    // Words are shared with other processes while they change: whole loads and stores, and
    // fences between them. What they guard is copied plainly and judged by the words after it.
    std::uint64_t word(std::size_t at) const {
#ifdef _MSC_VER
        return *reinterpret_cast<const volatile std::uint64_t*>(data.get() + at);
#else
        return __atomic_load_n(reinterpret_cast<std::uint64_t*>(data.get() + at), __ATOMIC_RELAXED);
#endif
    }
    void set_word(std::size_t at, std::uint64_t value) const {
#ifdef _MSC_VER
        *reinterpret_cast<volatile std::uint64_t*>(data.get() + at) = value;
#else
        __atomic_store_n(reinterpret_cast<std::uint64_t*>(data.get() + at), value,
                         __ATOMIC_RELAXED);
#endif
    }
    void move_word(std::size_t at) const { set_word(at, word(at) + 1); }
    template <class Record> Record read(std::size_t at) const {
        Record record;
        std::memcpy(&record, data.get() + at, sizeof record);
        return record;
    }
    template <class Record> void write(std::size_t at, const Record& record) const {
        std::memcpy(data.get() + at, &record, sizeof record);
    }
};

#ifdef _WIN32
inline Segment mapped(HANDLE handle) {
    void* const data = MapViewOfFile(handle, FILE_MAP_ALL_ACCESS, 0, 0, 0);
    MEMORY_BASIC_INFORMATION block{};
    if (data == nullptr || VirtualQuery(data, &block, sizeof block) == 0) {
        CloseHandle(handle);
        return {};
    }
    const auto unmap = [handle](std::uint8_t* view) {
        UnmapViewOfFile(view);
        CloseHandle(handle);  // not before: the name goes with the last handle
    };
    return {{static_cast<std::uint8_t*>(data), unmap}, block.RegionSize};
}
inline Segment attach(const std::string& name) {
    const HANDLE handle = OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, name.c_str());
    return handle == nullptr ? Segment{} : mapped(handle);
}
inline Segment create(const std::string& name, std::uint64_t size) {
    const HANDLE handle = CreateFileMappingA(
        INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, static_cast<DWORD>(size >> 32),
        static_cast<DWORD>(size), name.c_str());
    if (handle == nullptr) return {};
    if (GetLastError() != ERROR_ALREADY_EXISTS) return mapped(handle);
    CloseHandle(handle);
    return {};
}
inline void unlink(const std::string&) {}  // a block goes with its last handle
#else
inline Segment mapped(int fd, std::uint64_t size) {
    void* const data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (data == MAP_FAILED) return {};
    return {{static_cast<std::uint8_t*>(data), [size](std::uint8_t* at) { munmap(at, size); }},
            size};
}
inline Segment attach(const std::string& name) {  // none: there is no such block (yet)
    const int fd = shm_open(("/" + name).c_str(), O_RDWR, 0600);
    struct stat found {};
    if (fd >= 0 && fstat(fd, &found) == 0 && found.st_size > 0)
        return mapped(fd, static_cast<std::uint64_t>(found.st_size));
    if (fd >= 0) ::close(fd);  // its creator has not given it a size yet
    return {};
}
inline void unlink(const std::string& name) { shm_unlink(("/" + name).c_str()); }
inline Segment create(const std::string& name, std::uint64_t size) {  // none: taken, or no room
    const int fd = shm_open(("/" + name).c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
    if (fd < 0) return {};
    bool fits = ftruncate(fd, static_cast<off_t>(size)) == 0;
#ifdef __linux__
    fits = fits && posix_fallocate(fd, 0, static_cast<off_t>(size)) == 0;  // else: SIGBUS later
#endif
    if (!fits) ::close(fd);
    const Segment segment = fits ? mapped(fd, size) : Segment{};
    if (!segment) unlink(name);
    return segment;
}
#endif

// The lock of a mailbox lane. The file is never removed: two programs could lock two files of
// one name.
class LaneLock {
public:
    LaneLock(const std::string& session, unsigned lane) {
        const auto path = folder() / ("promptmatte_shm." + session + ".lane" +
                                      std::to_string(lane) + ".lock");
#ifdef _WIN32
        file_ = CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE,
                            FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr, OPEN_ALWAYS,
                            FILE_ATTRIBUTE_NORMAL, nullptr);
        held_ = file_ != INVALID_HANDLE_VALUE && LockFile(file_, 0, 0, 1, 0);
#else
        file_ = ::open(path.c_str(), O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
        held_ = file_ >= 0 && flock(file_, LOCK_EX | LOCK_NB) == 0;
#endif
    }
    LaneLock(const LaneLock&) = delete;
    LaneLock& operator=(const LaneLock&) = delete;
    ~LaneLock() {
#ifdef _WIN32
        if (file_ != INVALID_HANDLE_VALUE) CloseHandle(file_);
#else
        if (held_) flock(file_, LOCK_UN);  // a child forked meanwhile has a copy of the file
        if (file_ >= 0) ::close(file_);
#endif
    }
    bool held() const { return held_; }

private:
    static std::filesystem::path folder() {
#ifdef _WIN32
        for (const wchar_t* name : {L"TMPDIR", L"TEMP", L"TMP"})
            if (const wchar_t* value = _wgetenv(name))
#else
        for (const char* name : {"TMPDIR", "TEMP", "TMP"})
            if (const char* value = std::getenv(name))
#endif
                if (std::error_code none; std::filesystem::is_directory(value, none)) return value;
        return std::filesystem::temp_directory_path();
    }
#ifdef _WIN32
    HANDLE file_;
#else
    int file_;
#endif
    bool held_;
};

// Whether a counter that another process moves still moves, by this process's own clock.
class Pulse {
public:
    explicit Pulse(Milliseconds limit) : limit_(limit) {}
    bool look(std::uint64_t value) {  // whether it has been seen to move, and lately
        if (!looked_ || value != value_) {
            seen_ = looked_;
            changed_ = Clock::now();
        }
        value_ = value;
        looked_ = true;
        return seen_ && !silent();
    }
    bool silent() const { return looked_ && Clock::now() - changed_ >= limit_; }

private:
    Milliseconds limit_;
    Clock::time_point changed_{};
    std::uint64_t value_ = 0;
    bool looked_ = false, seen_ = false;
};

struct Directory {
    std::string session;
    Segment segment;
    std::uint64_t epoch = 0;

    // A server's directory; Error no_server or layout if there is none that can be used.
    explicit Directory(const std::string& name)
        : session(name), segment(attach("pm_" + name)) {
        if (!segment) throw Error(Fault::no_server, "no session " + name);
        const bool fits = segment.size >= directory_bytes;
        const auto header = fits ? segment.read<DirectoryHeader>(0) : DirectoryHeader{};
        if (!fits || !sealed(header) || std::memcmp(header.magic, "PMDIR\r\n\0", 8) != 0)
            throw Error(Fault::layout, "expected a directory in pm_" + name + "; got other bytes");
        if (header.version != layout_version || header.lane_count != lane_count ||
            header.lane_area_bytes != lane_area_bytes)
            throw Error(Fault::layout, "expected layout 2 of session " + name + "; got " +
                        std::to_string(header.version) + ": use matching versions");
        if (header.epoch == 0 || closed())
            throw Error(Fault::no_server, "session " + name + " has been closed");
        epoch = header.epoch;
    }
    bool closed() const { return segment.word(open_at) == 0; }
    std::string ring_name(std::size_t channel_at, std::uint32_t generation) const {
        char suffix[16];
        std::snprintf(suffix, sizeof suffix, ".%c%08x", channel_at == frames_at ? 'f' : 'm',
                      static_cast<unsigned>(generation));
        return "pm_" + session + suffix;
    }
    ChannelRecord raw_record(std::size_t channel_at) const {
        return segment.read<ChannelRecord>(channel_at);
    }
};

inline bool usable(const ChannelRecord& record) {
    return sealed(record) && record.slot_count >= min_slots && record.slot_count <= max_slots;
}

// Sends frames: holds the channel if it is the newest sender, makes a ring for a larger size.
class ChannelWriter {
public:
    ChannelWriter(Directory& directory, std::uint32_t slot_count)
        : directory_(directory), slot_count_(slot_count), owner_(random_bits() >> 1 | 1) {}
    ChannelWriter(const ChannelWriter&) = delete;
    ChannelWriter& operator=(const ChannelWriter&) = delete;
    ~ChannelWriter() {
        if (ring_ && same(directory_.raw_record(frames_at), record_))
            directory_.segment.write(frames_at, ChannelRecord{});
        drop();
    }

    bool write(const Frame& frame) {
        if (!holds()) return false;
        const std::uint64_t row = frame.width * pixel_bytes(frame.format);
        if (!ring_ || row * frame.height > record_.slot_bytes)
            make_ring(row * frame.height);
        SlotHeader header{};
        header.stream_id = frame.info.stream_id;
        header.seq = frame.info.seq;
        header.pts_ns = frame.info.pts_ns;
        header.captured_ns = frame.info.captured_ns;
        header.published_ns = std::chrono::nanoseconds(Clock::now().time_since_epoch()).count();
        header.width = frame.width;
        header.height = frame.height;
        header.format = static_cast<std::uint32_t>(frame.format);
        header.byte_size = row * frame.height;
        header.anchor_seq = -1;
        seal(header);
        publish(header, frame, static_cast<std::size_t>(row));
        directory_.segment.move_word(frames_at + sent_at);
        return true;
    }

private:
    void publish(const SlotHeader& header, const Frame& frame, std::size_t row) {
        const std::uint64_t ticket = ++ticket_;
        const std::size_t stride = pixels_at + static_cast<std::size_t>(record_.slot_bytes);
        const std::size_t at = slots_at + ticket % slot_count_ * stride;
        ring_.set_word(at, ticket);
        fence();
        ring_.write(at + slot_header_at, header);
        auto from = static_cast<const std::uint8_t*>(frame.pixels);
        auto to = ring_.data.get() + at + pixels_at;
        const std::ptrdiff_t step =
            frame.row_bytes != 0 ? frame.row_bytes : static_cast<std::ptrdiff_t>(row);
        for (std::uint32_t y = 0; y < frame.height; ++y)
            std::memcpy(to + y * row, from + static_cast<std::ptrdiff_t>(y) * step, row);
        fence();
        ring_.set_word(at + 8, ticket);
        fence();
        ring_.set_word(newest_at, ticket);
        ring_.write(0, ring_header_);  // heals a header that somebody damaged
    }
    bool holds() {
        const ChannelRecord found = directory_.raw_record(frames_at);
        if (ring_ && same(found, record_)) return true;
        if (!usable(found) || found.owner == owner_) {
            if (ring_) directory_.segment.write(frames_at, record_);
            return true;
        }
        if (!ring_ && !resting_) return true;
        if (!resting_) {  // a newer sender took over: rest until that one is silent
            drop();
            rival_ = Pulse(Milliseconds(2000));
            resting_ = true;
        }
        rival_.look(directory_.segment.word(frames_at + sent_at));
        return rival_.silent();
    }
    void make_ring(std::uint64_t byte_size) {
        drop();
        const ChannelRecord old = directory_.raw_record(frames_at);
        if (usable(old)) unlink(directory_.ring_name(frames_at, old.generation));
        record_ = {static_cast<std::uint32_t>(random_bits()), slot_count_, aligned(byte_size),
                   owner_, 0};
        seal(record_);
        directory_.segment.write(frames_at, record_);  // first: no ring is left over unnamed
        name_ = directory_.ring_name(frames_at, record_.generation);
        const std::uint64_t size = slots_at + slot_count_ * (pixels_at + record_.slot_bytes);
        ring_ = create(name_, size);
        if (!ring_) {
            directory_.segment.write(frames_at, ChannelRecord{});
            throw Error(Fault::no_memory, "expected room for " + std::to_string(size) +
                        " bytes of shared memory: free some, or send a smaller picture");
        }
        ring_header_ = {{'P', 'M', 'R', 'I', 'N', 'G', '\r', '\n'}, layout_version, slot_count_,
                        record_.slot_bytes, record_.generation, 0};
        seal(ring_header_);
        ring_.write(0, ring_header_);
        ticket_ = 0;
        resting_ = false;
    }
    void drop() {
        if (ring_) unlink(name_);
        ring_ = {};
    }

    Directory& directory_;
    std::uint32_t slot_count_;
    std::uint64_t owner_, ticket_ = 0;
    Segment ring_;
    std::string name_;
    ChannelRecord record_{};
    RingHeader ring_header_{};
    Pulse rival_{Milliseconds(2000)};
    bool resting_ = false;
};

// Reads the newest matte through whichever ring carries them now.
class ChannelReader {
public:
    ChannelReader(const Directory& directory, Status& counts)
        : directory_(directory), counts_(counts) {}

    bool latest(Matte& matte) {
        follow();
        for (int attempt = 0; ring_ && attempt < 4; ++attempt) {
            const std::uint64_t ticket = ring_.word(newest_at);
            if (ticket == seen_) return false;
            const std::size_t at =
                slots_at + static_cast<std::size_t>(ticket % slot_count_ * stride_);
            fence();
            const bool whole = ring_.word(at) == ticket && ring_.word(at + 8) == ticket;
            bool good = whole && copy(at);
            fence();
            if (ring_.word(at) != ticket) {
                if (whole) ++counts_.torn;
                fence();
                if (ring_.word(newest_at) != ticket) continue;
                good = false;  // nobody overwrote it: the tickets are damaged
            }
            if (good && seen_ != 0 && ticket > seen_) counts_.missed += ticket - seen_ - 1;
            ++(good ? counts_.received : counts_.rejected);
            seen_ = ticket;
            if (good) std::swap(matte, matte_);
            return good;
        }
        return false;
    }

private:
    void follow() {  // the ring before stays until the one of the record is there and whole
        const ChannelRecord record = directory_.raw_record(mattes_at);
        if ((ring_ && same(record, followed_)) || !usable(record)) return;
        const Segment ring = attach(directory_.ring_name(mattes_at, record.generation));
        if (!ring || ring.size < slots_at) return;
        const auto header = ring.read<RingHeader>(0);
        if (!sealed(header) || std::memcmp(header.magic, "PMRING\r\n", 8) != 0 ||
            header.version != layout_version || header.generation != record.generation ||
            header.slot_count < min_slots || header.slot_count > max_slots ||
            header.slot_bytes > ring.size ||  // before a product that could overflow
            slots_at + header.slot_count * (pixels_at + aligned(header.slot_bytes)) > ring.size)
            return;
        slot_count_ = header.slot_count;
        slot_bytes_ = header.slot_bytes;
        stride_ = pixels_at + aligned(header.slot_bytes);
        seen_ = 0;
        ring_ = ring;
        followed_ = record;
    }
    bool copy(std::size_t at) {  // into matte_; whether every field made sense
        const auto header = ring_.read<SlotHeader>(at + slot_header_at);
        const auto format = static_cast<PixelFormat>(header.format);
        const auto fill = static_cast<PixelFormat>(header.fill_format);
        const std::uint64_t pixels = std::uint64_t{header.width} * header.height;
        if (!sealed(header) || pixels == 0 || pixels > slot_bytes_ || pixel_bytes(format) == 0 ||
            header.confidence_count > max_confidences ||
            (fill != PixelFormat::none && fill != PixelFormat::rgb8 && fill != PixelFormat::rgba8))
            return false;
        const std::uint64_t alpha_bytes = pixels * pixel_bytes(format);
        const std::uint64_t fill_bytes = pixels * pixel_bytes(fill);
        const std::uint64_t size = fill_bytes ? aligned(alpha_bytes) + fill_bytes : alpha_bytes;
        if (size != header.byte_size || size > slot_bytes_ || !std::isfinite(header.age_ms))
            return false;
        const std::array<double, 4> values{header.confidence[0], header.confidence[1],
                                      header.confidence[2], header.confidence[3]};
        for (const double value : values)
            if (!std::isfinite(value)) return false;
        matte_.info = {header.stream_id, header.seq, header.pts_ns, header.captured_ns};
        matte_.width = header.width;
        matte_.height = header.height;
        matte_.format = format;
        matte_.fill_format = fill;
        matte_.anchor_seq = header.anchor_seq;
        matte_.prompts_version = header.prompts_version;
        matte_.age_ms = header.age_ms;
        matte_.confidence.assign(values.begin(), values.begin() + header.confidence_count);
        const std::uint8_t* from = ring_.data.get() + at + pixels_at;
        matte_.alpha.assign(from, from + alpha_bytes);
        matte_.fill.assign(from + aligned(alpha_bytes), from + aligned(alpha_bytes) + fill_bytes);
        return true;
    }

    const Directory& directory_;
    Status& counts_;
    Segment ring_;
    ChannelRecord followed_{};
    std::uint64_t seen_ = 0, stride_ = 0, slot_count_ = 0, slot_bytes_ = 0;
    Matte matte_;  // one that turns out torn must not spoil the caller's
};

// The server's reply to a request, or an Error.
inline std::string ask(Directory& directory, const std::string& json, Clock::time_point end) {
    const auto late = [end](const char* what) {
        if (Clock::now() >= end) throw Error(Fault::timeout, std::string(what) + " in time");
        std::this_thread::sleep_for(poll_pause);
    };
    std::unique_ptr<LaneLock> lock;
    std::size_t lane = 0;
    while (lock == nullptr || !lock->held()) {
        for (lane = 0; lane < lane_count; ++lane) {
            lock = std::make_unique<LaneLock>(directory.session, static_cast<unsigned>(lane));
            if (lock->held()) break;
        }
        if (!lock->held()) late("expected a free mailbox lane; all were busy");
    }
    const Segment& segment = directory.segment;
    const std::size_t request_at = lanes_at + lane * lane_stride;
    const std::size_t reply_at = request_at + reply_words_at;
    std::uint8_t* const area = segment.data.get() + request_at + lane_header_bytes;
    const std::uint64_t id = random_bits() >> 1 | 1;
    const std::uint32_t id_crc = crc32(&id, sizeof id);
    std::memcpy(area, json.data(), json.size());
    segment.set_word(request_at + 8, json.size());
    segment.set_word(request_at + 16, crc32(json.data(), json.size(), id_crc));
    fence();
    segment.set_word(request_at, id);
    try {
        while (segment.word(reply_at) != id) {
            if (directory.closed()) throw Error(Fault::no_server, "the session has been closed");
            late("expected an answer");
        }
    } catch (const Error&) {
        if (segment.word(request_at) == id) segment.set_word(request_at, 0);  // never carried out
        throw;
    }
    fence();
    const std::uint64_t length = segment.word(reply_at + 8);
    if (length > lane_area_bytes) throw Error(Fault::layout, "expected a reply of 64 KiB at most");
    const std::string reply(reinterpret_cast<char*>(area) + lane_area_bytes,
                            static_cast<std::size_t>(length));
    if (segment.word(reply_at + 16) != crc32(reply.data(), reply.size(), id_crc))
        throw Error(Fault::layout, "expected a reply with its checksum; got damaged bytes");
    return reply;
}

struct Connection {
    Connection(const std::string& name, std::uint32_t slot_count, Status& counts)
        : directory(name), frames(directory, slot_count), mattes(directory, counts) {
        heartbeat.look(directory.segment.word(heartbeat_at));
    }
    Directory directory;
    Pulse heartbeat{Milliseconds(1000)};
    ChannelWriter frames;
    ChannelReader mattes;
};

}  // namespace detail

// Joins a session by name, before or after its server, and again after that one's restart.
class Client {
public:
    explicit Client(std::string name, std::uint32_t slot_count = 4)
        : name_(std::move(name)), slot_count_(slot_count) {
        const auto allowed = [](char c) {
            return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                   c == '_' || c == '-';
        };
        if (name_.empty() || name_.size() > 16 || !std::all_of(name_.begin(), name_.end(), allowed))
            throw Error(Fault::bad_input, "expected a session name of 1 to 16 letters, digits, "
                        "'_' or '-'; got " + name_);
        if (slot_count < detail::min_slots || slot_count > detail::max_slots)
            throw Error(Fault::bad_input, "expected 2 to 64 slots");
    }

    // Hands over a frame without waiting; false: no server, or a newer sender has the session.
    bool send_frame(const Frame& frame) {
        const std::uint64_t pixel = pixel_bytes(frame.format);
        if (pixel == 0 || frame.width == 0 || frame.height == 0 || frame.pixels == nullptr ||
            std::uint64_t{frame.width} * frame.height > (std::uint64_t{1} << 40) / pixel)
            throw Error(Fault::bad_input, "expected a picture with pixels of a known format");
        if (current() == nullptr || !connection_->frames.write(frame)) return false;
        ++counts_.sent;
        return true;
    }

    // Whether a matte that was not read yet came in time; if not, `matte` stays as it was.
    bool latest_matte(Matte& matte, std::chrono::milliseconds timeout = {}) {
        const auto end = detail::Clock::now() + timeout;
        while (true) {
            // a server that shows no life left only the mattes of its past
            if (current() != nullptr && connected_ && connection_->mattes.latest(matte))
                return true;
            if (detail::Clock::now() >= end) return false;
            std::this_thread::sleep_for(detail::poll_pause);
        }
    }

    // The server's answer to a JSON object of at most 64 KiB: bytes that came whole. Read them
    // with a JSON library, and take what is no object for no answer.
    std::string request(const std::string& json,
                        std::chrono::milliseconds timeout = std::chrono::seconds(2)) {
        if (json.size() > detail::lane_area_bytes)
            throw Error(Fault::too_large, "expected at most 65536 bytes of JSON");
        const auto end = detail::Clock::now() + timeout;
        while (current() == nullptr) {
            if (detail::Clock::now() >= end) throw refusal_;
            std::this_thread::sleep_for(detail::poll_pause);
        }
        return detail::ask(connection_->directory, json, end);
    }

    Status status() {
        current();
        Status now = counts_;
        now.connected = connected_;
        return now;
    }

private:
    detail::Connection* current() {
        bool alive = false;
        const bool closed = connection_ != nullptr && connection_->directory.closed();
        if (connection_ != nullptr && !closed) {
            const detail::Segment& segment = connection_->directory.segment;
            segment.move_word(detail::visitors_at);
            alive = connection_->heartbeat.look(segment.word(detail::heartbeat_at));
        }
        // a heart that beats again may be that of another server in the same memory
        const bool look_now = closed || (alive && !connected_);
        if (const auto now = detail::Clock::now(); look_now || (!alive && now >= next_look_)) {
            next_look_ = now + std::chrono::milliseconds(100);
            if (join()) alive = false;
        }
        connected_ = alive;
        return connection_.get();
    }
    bool join() {  // whether that made another connection
        try {
            const detail::Directory found(name_);
            if (connection_ != nullptr && connection_->directory.epoch == found.epoch &&
                !connection_->directory.closed())
                return false;
            connection_.reset();
            connection_ = std::make_unique<detail::Connection>(name_, slot_count_, counts_);
            return true;
        } catch (const Error& error) {
            refusal_ = error;
            if (connection_ != nullptr && connection_->directory.closed()) connection_.reset();
            return false;
        }
    }

    std::string name_;
    std::uint32_t slot_count_;
    Status counts_;
    std::unique_ptr<detail::Connection> connection_;
    detail::Clock::time_point next_look_{};
    Error refusal_{Fault::no_server, "no server has been found yet"};
    bool connected_ = false;
};

}  // namespace promptmatte
