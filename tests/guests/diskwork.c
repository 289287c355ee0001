/* Work for a guest's disk whose result can be checked.
 *
 *   diskwork sync DIRECTORY SEED      writes files without end, and says which of its writes the kernel called durable
 *   diskwork mixed DEVICE SEED COUNT  COUNT random operations by each of four processes, everything read back and compared
 *
 * A record is 32 bytes and a payload: magic, sequence number, place, and the FNV-1a hash of number, place and payload, all
 * 64 bits wide and little-endian. The payload follows from the number and the place alone. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECTOR = 512, BLOCK = 4096, BLOCKS = 64, LOGS = 4, KEPT = 16, WORKERS = 4, MOST_SECTORS = 256 };
static const uint64_t MAGIC = 0x4b524f574b534944;

struct record {
    uint64_t magic, sequence, place, hash;
    unsigned char payload[];
};

static uint64_t state;

static uint64_t next(uint64_t *x) {
    uint64_t z = (*x += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static uint64_t below(uint64_t n) { return next(&state) % n; }

static uint64_t fnv(uint64_t hash, const void *data, size_t len) {
    const unsigned char *byte = data;
    for (size_t i = 0; i < len; i++) hash = (hash ^ byte[i]) * 0x100000001b3;
    return hash;
}

static void fill(struct record *r, uint64_t sequence, uint64_t place, size_t len) {
    uint64_t x = sequence * 31 + place;
    size_t payload = len - sizeof *r;
    for (size_t i = 0; i + 8 <= payload; i += 8) {
        uint64_t word = next(&x);
        memcpy(r->payload + i, &word, 8);
    }
    for (size_t i = payload & ~7ul; i < payload; i++) r->payload[i] = (unsigned char)(i + sequence);
    r->magic = MAGIC, r->sequence = sequence, r->place = place;
    r->hash = fnv(fnv(0xcbf29ce484222325, &r->sequence, 16), r->payload, payload);
}

static void fail(const char *what) {
    printf("DISKWORK-FAILED %s: %m\n", what);
    fflush(stdout);
    _exit(1);
}

static void all(ssize_t done, size_t wanted, const char *what) {
    if (done != (ssize_t)wanted) fail(what);
}

/* One write each, so that a line is never cut by another process's. */
#define SAY(...) do { char line[96]; int n = snprintf(line, sizeof line, __VA_ARGS__); all(write(1, line, n), n, "say"); } while (0)

static int flush(int fd) { return below(2) ? fsync(fd) : fdatasync(fd); }

static _Noreturn void sync_worker(const char *top, unsigned worker) {
    char path[64], temporary[64];
    static uint64_t end[LOGS];
    struct record *r = malloc(64 << 10);
    snprintf(path, sizeof path, "%s/%u", top, worker);
    if (mkdir(path, 0755) || chdir(path)) fail(path);
    int here = open(".", O_RDONLY | O_DIRECTORY);
    int blocks = open("blocks", O_RDWR | O_CREAT, 0644), durable = open("blocks", O_RDWR | O_DSYNC);
    int noise = open("noise", O_RDWR | O_CREAT, 0644), logs[LOGS];
    for (int i = 0; i < LOGS; i++) {
        snprintf(path, sizeof path, "log%d", i);
        if ((logs[i] = open(path, O_RDWR | O_CREAT, 0644)) < 0) fail(path);
    }
    if (here < 0 || blocks < 0 || durable < 0 || noise < 0) fail("open");
    uint64_t kept[KEPT] = { 0 };
    unsigned oldest = 0;
    for (uint64_t sequence = 1;; sequence++) {
        uint64_t place, len;
        switch (below(8)) {
        case 0: case 1: case 2: /* A block in place, flushed now or by the write itself. */
            place = below(BLOCKS);
            fill(r, sequence, place, BLOCK);
            if (below(2)) {
                all(pwrite(durable, r, BLOCK, place * BLOCK), BLOCK, "O_DSYNC write");
            } else {
                all(pwrite(blocks, r, BLOCK, place * BLOCK), BLOCK, "write");
                if (flush(blocks)) fail("flush");
            }
            SAY("DONE %u block %lu %lu\n", worker, place, sequence);
            break;
        case 3: case 4: case 5: /* One more record at a log's end. */
            place = below(LOGS);
            len = sizeof *r + below(below(4) ? 2000 : 40000);
            fill(r, sequence, place, len);
            all(pwrite(logs[place], r, len, end[place]), len, "append");
            if (flush(logs[place])) fail("flush");
            SAY("DONE %u log %lu %lu %lu %lu\n", worker, place, sequence, end[place], len);
            end[place] += len;
            break;
        case 6: /* A new file under its own name only when it is whole; the oldest goes. */
            snprintf(temporary, sizeof temporary, "new");
            snprintf(path, sizeof path, "file%lu", sequence);
            len = sizeof *r + below(20000);
            fill(r, sequence, 0, len);
            int fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC, 0644);
            if (fd < 0) fail("create");
            all(write(fd, r, len), len, "write a file");
            if (fsync(fd) || close(fd) || rename(temporary, path) || fsync(here)) fail("rename");
            SAY("DONE %u file %lu %lu\n", worker, sequence, len);
            uint64_t gone = kept[oldest];
            kept[oldest] = sequence;
            oldest = (oldest + 1) % KEPT;
            if (gone) {
                snprintf(path, sizeof path, "file%lu", gone);
                SAY("DROP %u %lu\n", worker, gone);
                if (unlink(path) || fsync(here)) fail("unlink");
                SAY("DONE %u gone %lu\n", worker, gone);
            }
            break;
        default: /* What nobody asks to be kept. */
            len = 1 + below(60000);
            if (below(8) == 0 && ftruncate(noise, 0)) fail("truncate");
            all(pwrite(noise, r, len, below(1 << 20)), len, "noise");
        }
    }
}

static void check_sectors(int fd, const uint32_t *shadow, uint64_t first, uint64_t count, unsigned char *read_to) {
    static const unsigned char zeroes[SECTOR];
    unsigned char sector[SECTOR];
    all(pread(fd, read_to, count * SECTOR, first * SECTOR), count * SECTOR, "read");
    for (uint64_t i = 0; i < count; i++) {
        uint32_t generation = shadow[i];
        const unsigned char *wanted = zeroes;
        if (generation == UINT32_MAX) continue;
        if (generation) {
            fill((struct record *)sector, generation, first + i, SECTOR);
            wanted = sector;
        }
        if (memcmp(wanted, read_to + i * SECTOR, SECTOR)) {
            const struct record *r = (const void *)(read_to + i * SECTOR);
            printf("DISKWORK-FAILED sector %lu should be of write %u and says it is sector %lu of write %lu\n", first + i,
                   generation, r->place, r->sequence);
            fflush(stdout);
            _exit(1);
        }
    }
}

/* Works in sectors [first, first + count) of a device that is all zeroes; half of the workers go around the cache. */
static void mixed_worker(const char *device, unsigned worker, uint64_t first, uint64_t count, uint64_t operations) {
    int direct = worker & 1, fd = open(device, O_RDWR | (direct ? O_DIRECT : 0));
    uint32_t *shadow = calloc(count, sizeof *shadow);
    unsigned char *buffer = aligned_alloc(BLOCK, MOST_SECTORS * SECTOR);
    if (fd < 0) fail(device);
    for (uint32_t generation = 1; generation <= operations; generation++) {
        uint64_t len = 1 + below(below(2) ? 16 : MOST_SECTORS), at = below(count - len);
        unsigned kind = below(100);
        uint64_t range[2] = { (first + at) * SECTOR, len * SECTOR };
        if (kind < 55) {
            for (uint64_t i = 0; i < len; i++) {
                fill((struct record *)(buffer + i * SECTOR), generation, first + at + i, SECTOR);
                shadow[at + i] = generation;
            }
            all(pwrite(fd, buffer, len * SECTOR, range[0]), len * SECTOR, "write");
        } else if (kind < 90) {
            check_sectors(fd, shadow + at, first + at, len, buffer);
        } else if (kind < 95) {
            if (fsync(fd)) fail("fsync");
        } else if (direct && kind < 97) {
            /* The cache holds whole pages, which the kernel drops around what it makes zero: not beside buffered writes. */
            if (ioctl(fd, BLKZEROOUT, range)) fail("BLKZEROOUT");
            for (uint64_t i = 0; i < len; i++) shadow[at + i] = 0;
        } else if (direct && kind < 98 && ioctl(fd, BLKDISCARD, range) == 0) {
            for (uint64_t i = 0; i < len; i++) shadow[at + i] = UINT32_MAX;
        }
    }
    if (fsync(fd) || (worker == 0 && ioctl(fd, BLKFLSBUF))) fail("fsync");
    for (uint64_t at = 0; at < count; at += MOST_SECTORS) {
        uint64_t len = count - at < MOST_SECTORS ? count - at : MOST_SECTORS;
        check_sectors(fd, shadow + at, first + at, len, buffer);
    }
}

static int mixed(const char *device, uint64_t seed, uint64_t operations) {
    int fd = open(device, O_RDONLY | O_DIRECT), status, failed = 0;
    uint64_t bytes;
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes)) fail(device);
    uint64_t each = bytes / WORKERS / BLOCK * (BLOCK / SECTOR);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        if (fork() == 0) {
            state = seed + worker;
            mixed_worker(device, worker, worker * each, each, operations);
            exit(0);
        }
    }
    while (wait(&status) > 0) failed |= status;
    if (failed) return 1;
    uint64_t hash = 0xcbf29ce484222325;
    unsigned char *buffer = aligned_alloc(BLOCK, MOST_SECTORS * SECTOR);
    for (ssize_t got; (got = read(fd, buffer, MOST_SECTORS * SECTOR)) > 0;) hash = fnv(hash, buffer, got);
    printf("MIXED-DONE %016lx\n", hash);
    return 0;
}

int main(int count, char **words) {
    if (count >= 4 && !strcmp(words[1], "sync")) {
        for (unsigned worker = 0; worker < 2; worker++) {
            if (fork() == 0) {
                state = strtoull(words[3], 0, 0) * 2 + worker;
                sync_worker(words[2], worker);
            }
        }
        while (wait(0) > 0) { }
        return 1;
    }
    if (count >= 5 && !strcmp(words[1], "mixed")) return mixed(words[2], strtoull(words[3], 0, 0), strtoull(words[4], 0, 0));
    fprintf(stderr, "usage: diskwork sync DIRECTORY SEED | mixed DEVICE SEED COUNT\n");
    return 2;
}
