/* Exchange and consumer of the end-to-end benchmark: one process, one thread, one core.
 *
 *   driver PORT MSGFILE COUNT PACE_NS GROUP UDP_PORT SEQ_OFFSET
 *
 * A copy of the floor's driver (e2e_driver.c) for a handler that speaks the whole protocol. What differs:
 *   - it acknowledges the SUBSCRIBE messages of the client, and begins when a line comes on its standard input;
 *   - it finds the message index not at byte 12 but by the frame's number (u64, little-endian) at SEQ_OFFSET, less the
 *     number of the last frame before the run, less frames that are no message: other types (CONN, STATUS), and all but
 *     the last frame of an event that needs several (flag EVENT_END). Un-numbered frames are skipped;
 *   - it holds the connection open after its report until another line comes, so that the books can be compared.
 * As there: PACE_NS 0 pushes as fast as the socket takes it; GRO=1 in the environment: the consumer's socket uses UDP_GRO;
 * latency = first byte handed to TCP -> frame read by a spinning consumer.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define UDP_GRO_OPTION 104
#define MESSAGES_MAX 1000000
#define SLICE_BYTES 65536           /* handed to TCP at once, as the floor's driver does */
#define IDLE_NS 3000000000ull       /* without a frame for this long the run is over */
#define TYPE_OFFSET 2
#define FLAGS_OFFSET 4
#define FLAG_EVENT_END 1
#define BOOK_DELTA 0x10
#define TRADE 0x12
#define HEADER_BYTES 66

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

/* SHA-1 and base64: for Sec-WebSocket-Accept (RFC 6455 section 4.2.2) only. */

static uint32_t rol(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1(const uint8_t *text, size_t n, uint8_t *out) {
  uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  uint8_t block[256] = {0};
  size_t total = (n + 9 + 63) / 64 * 64;
  memcpy(block, text, n);
  block[n] = 0x80;
  for (int i = 0; i < 8; i++) block[total - 1 - i] = (uint64_t)(n * 8) >> (8 * i);
  for (size_t k = 0; k < total; k += 64) {
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 16; i++)
      w[i] = (uint32_t)block[k + i * 4] << 24 | block[k + i * 4 + 1] << 16 | block[k + i * 4 + 2] << 8 | block[k + i * 4 + 3];
    for (int i = 16; i < 80; i++) w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
      uint32_t f, q;
      if (i < 20) f = (b & c) | (~b & d), q = 0x5A827999;
      else if (i < 40) f = b ^ c ^ d, q = 0x6ED9EBA1;
      else if (i < 60) f = (b & c) | (b & d) | (c & d), q = 0x8F1BBCDC;
      else f = b ^ c ^ d, q = 0xCA62C1D6;
      uint32_t t = rol(a, 5) + f + e + q + w[i];
      e = d, d = c, c = rol(b, 30), b = a, a = t;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
  }
  for (int i = 0; i < 20; i++) out[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

static void base64(const uint8_t *in, char *out) { /* 20 bytes */
  const char *table = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  int k = 0;
  for (int j = 0; j < 21; j += 3) {
    uint32_t v = in[j] << 16 | in[j + 1] << 8 | (j + 2 < 20 ? in[j + 2] : 0);
    for (int shift = 18; shift >= 0; shift -= 6) out[k++] = table[v >> shift & 63];
  }
  out[27] = '=';
  out[28] = 0;
}

/* The messages, each with its WebSocket header. */

static char *message[MESSAGES_MAX];
static int length[MESSAGES_MAX];
static long messages;

static void read_messages(const char *path) {
  FILE *file = fopen(path, "r");
  char *line = NULL;
  size_t room = 0;
  ssize_t n;
  if (!file) die(path);
  while ((n = getline(&line, &room, file)) > 0) {
    if (line[n - 1] == '\n') n--;
    if (messages == MESSAGES_MAX || n > 65535) fprintf(stderr, "%s: too much\n", path), exit(1);
    int head = n < 126 ? 2 : 4;
    char *m = message[messages] = malloc(n + 4);
    m[0] = (char)0x81;
    if (head == 2) m[1] = n;
    else m[1] = 126, m[2] = n >> 8, m[3] = n & 255;
    memcpy(m + head, line, n);
    length[messages++] = n + head;
  }
  free(line);
  fclose(file);
}

/* The consumer. */

static int udp, gro;
static uint64_t *sent_at, *latency, last_seq, skipped, base_seq;
static long count, got, sequence_offset;
static int running;
static uint64_t last_ns;

static void open_consumer(const char *group, int port) {
  int one = 1, bytes = 16 << 20;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_aton(group, &at.sin_addr);
  udp = socket(AF_INET, SOCK_DGRAM, 0);
  setsockopt(udp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
    setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  if (bind(udp, (void *)&at, sizeof at)) die("bind UDP");
  struct ip_mreq member = {.imr_multiaddr = at.sin_addr};
  inet_aton("127.0.0.1", &member.imr_interface);
  if (setsockopt(udp, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member)) die("join");
  gro = getenv("GRO") != NULL;
  if (gro && setsockopt(udp, IPPROTO_UDP, UDP_GRO_OPTION, &one, sizeof one)) die("UDP_GRO");
}

static void take_frame(const char *frame, int n) {
  uint64_t seq;
  if (n < HEADER_BYTES) return;
  uint8_t type = frame[TYPE_OFFSET];
  if (type == 0x01 || type == 0x03 || type >= 0x40) return; /* un-numbered */
  memcpy(&seq, frame + sequence_offset, 8);
  last_seq = seq;
  if (!running) return;
  if ((type != BOOK_DELTA && type != TRADE) || !(frame[FLAGS_OFFSET] & FLAG_EVENT_END)) {
    skipped++;
    return;
  }
  uint64_t index = seq - base_seq - skipped - 1;
  if (index < (uint64_t)count && sent_at[index] && !latency[index]) latency[index] = last_ns - sent_at[index], got++;
}

static int take_datagrams(int most) { /* returns whether there was one */
  static char room[65536];
  int any = 0;
  for (int i = 0; i < most; i++) {
    struct iovec part = {room, sizeof room};
    char control[CMSG_SPACE(8)];
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int n = gro ? (int)recvmsg(udp, &head, MSG_DONTWAIT) : (int)recv(udp, room, sizeof room, MSG_DONTWAIT), slot = n;
    if (n <= 0) break;
    if (gro)
      for (struct cmsghdr *c = CMSG_FIRSTHDR(&head); c; c = CMSG_NXTHDR(&head, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO_OPTION) memcpy(&slot, CMSG_DATA(c), sizeof slot);
    last_ns = now();
    for (int at = 0; at < n; at += slot) take_frame(room + at, n - at < slot ? n - at : slot);
    any = 1;
  }
  return any;
}

/* The exchange. */

static int accept_client(int port) {
  int one = 1, listening = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_aton("127.0.0.1", &at.sin_addr);
  setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listening, (void *)&at, sizeof at) || listen(listening, 1)) die("bind TCP");
  fprintf(stderr, "ready\n");
  int client = accept(listening, NULL, NULL), n = 0;
  char request[8192];
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  while (!memmem(request, n, "\r\n\r\n", 4)) {
    int r = recv(client, request + n, sizeof request - n - 1, 0);
    if (r <= 0) die("handshake");
    n += r;
  }
  request[n] = 0;
  char *key = strcasestr(request, "sec-websocket-key:"), joined[128], accepted[32], reply[512];
  uint8_t digest[20];
  if (!key) die("Sec-WebSocket-Key");
  for (key += 18; *key == ' ';) key++;
  snprintf(joined, sizeof joined, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)strcspn(key, "\r"), key);
  sha1((uint8_t *)joined, strlen(joined), digest);
  base64(digest, accepted);
  n = snprintf(reply, sizeof reply,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
               accepted);
  send(client, reply, n, 0);
  close(listening);
  return client;
}

/* Acknowledges every whole text frame of the client that holds an id. Frames of clients are masked (RFC 6455, 5.3). */
static void answer(int client) {
  static uint8_t in[1 << 17];
  static size_t have;
  ssize_t r = recv(client, in + have, sizeof in - have - 1, MSG_DONTWAIT);
  if (r == 0) fprintf(stderr, "the client hung up\n"), exit(1);
  if (r > 0) have += r;
  for (;;) {
    size_t head = 2, n;
    if (have < 2) return;
    n = in[1] & 127;
    if (n == 126) {
      if (have < 4) return;
      n = in[2] << 8 | in[3], head = 4;
    }
    if (have < head + 4 + n) return;
    uint8_t *mask = in + head, *text = mask + 4;
    for (size_t i = 0; i < n; i++) text[i] ^= mask[i % 4];
    uint8_t after = text[n];
    text[n] = 0;
    char *id = (in[0] & 15) == 1 ? strstr((char *)text, "\"id\":") : NULL, reply[128];
    if (id) {
      int m = snprintf(reply + 2, sizeof reply - 2, "{\"result\":null,\"id\":%ld}", strtol(id + 5, NULL, 10));
      reply[0] = (char)0x81, reply[1] = m;
      send(client, reply, m + 2, 0);
    }
    text[n] = after;
    have -= head + 4 + n;
    memmove(in, text + n, have);
  }
}

static int line_came(void) {
  char line[64];
  struct pollfd in = {.fd = 0, .events = POLLIN};
  return poll(&in, 1, 0) > 0 && read(0, line, sizeof line) >= 0;
}

static void report(uint64_t start) {
  long m = 0, p50, p90, p99;
  for (long i = 0; i < count; i++)
    if (latency[i]) latency[m++] = latency[i];
  if (!m) {
    printf("{\"count\":%ld,\"got\":0}\n", count);
    return;
  }
  qsort(latency, m, sizeof *latency, by_value);
  p50 = m / 2, p90 = m * 9 / 10, p99 = m * 99 / 100;
  printf("{\"count\":%ld,\"got\":%ld,\"us_per_msg\":%.4f,\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"max\":%.1f,\"skipped\":%lu}\n", count,
         got, (last_ns - start) / 1e3 / got, latency[p50] / 1e3, latency[p90] / 1e3, latency[p99] / 1e3, latency[m - 1] / 1e3,
         (unsigned long)skipped);
}

int main(int argc, char **argv) {
  if (argc != 8) return fprintf(stderr, "usage: driver PORT MSGFILE COUNT PACE_NS GROUP UDP_PORT SEQ_OFFSET\n"), 2;
  count = atol(argv[3]);
  uint64_t pace = strtoull(argv[4], NULL, 10);
  sequence_offset = atol(argv[7]);
  read_messages(argv[2]);
  if (count > messages) return fprintf(stderr, "%s has %ld messages\n", argv[2], messages), 2;
  sent_at = calloc(count, 8), latency = calloc(count, 8);

  /* All messages as one run of bytes, as the floor's driver has them: what it costs to push them is not measured. */
  size_t *edge = malloc((count + 1) * sizeof *edge), total = 0, position = 0;
  for (long i = 0; i < count; i++) edge[i] = total, total += length[i];
  edge[count] = total;
  char *all = malloc(total);
  for (long i = 0; i < count; i++) memcpy(all + edge[i], message[i], length[i]);

  open_consumer(argv[5], atoi(argv[6]));
  int client = accept_client(atoi(argv[1]));
  while (!line_came()) {
    answer(client);
    take_datagrams(64);
    usleep(500);
  }
  fcntl(client, F_SETFL, O_NONBLOCK);
  while (take_datagrams(64)) continue;
  base_seq = last_seq;
  running = 1;

  uint64_t start = now(), next = start, idle;
  long sent = 0;
  last_ns = start;
  while (got < count) {
    uint64_t t = now();
    if (pace) {
      if (sent < count && t >= next) {
        sent_at[sent] = t;
        ssize_t w = send(client, all + edge[sent], edge[sent + 1] - edge[sent], 0);
        if (w == (ssize_t)(edge[sent + 1] - edge[sent])) sent++;
        else if (w > 0) return fprintf(stderr, "short\n"), 1;
        next += pace;
      }
    } else if (position < total) {
      size_t m = total - position < SLICE_BYTES ? total - position : SLICE_BYTES;
      ssize_t w = send(client, all + position, m, 0);
      if (w > 0)
        for (position += w; sent < count && edge[sent + 1] <= position;) sent_at[sent++] = t;
    }
    take_datagrams(pace || gro ? 1 : 64);
    idle = now() - last_ns;
    if (idle < (1ull << 62) && idle > IDLE_NS) break;
  }
  report(start);
  fflush(stdout);
  while (!line_came()) {
    answer(client);
    take_datagrams(64);
    usleep(500);
  }
  send(client, "\x88\x02\x03\xe8", 4, 0);
  usleep(50000);
  return 0;
}
