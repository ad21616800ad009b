// SPDX-License-Identifier: AGPL-3.0-only
// nest-fastpathctl: speaks the control protocol from a shell, for operators and tests. Prints JSON; exit code
// 1 when the daemon refuses, 2 for the command line.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <stdexcept>
#include <thread>

#include "fastpathd/control_client.h"
#include "fastpathd/failure.h"
#include "fastpathd/json.h"
#include "fastpathd/options.h"
#include "fastpathd/tables.h"

namespace nest::fast {
namespace {

using Words = std::vector<std::string>;
using Answer = ControlClient::Answer;

constexpr const char* kUsage =
    "usage: nest-fastpathctl <socket> <command>\n"
    "  hello                       what the daemon is, and what it shares\n"
    "  stats                       counters by port\n"
    "  status                      the shared status page: workers, ports, memory nodes\n"
    "  load <image> <sequence>     makes a table image current; repeat <image> <sequence> for more than one\n"
    "  add-port <options>          --interface, --pass and --fallback, as of nest-fastpathd\n"
    "  remove-port <name>\n"
    "  flood on|off\n"
    "  flows [limit] | sweep [limit]   how many records; the first as hexadecimal\n"
    "  rows flows|sweep <limit> <cursor>   a JSON line, then packed struct nest_record\n"
    "  stop [detach]\n"
    "  raw <hex> [plain|sealed <count>]   sends bytes as they are, with memfds\n"
    "  hold <ms>                   keeps a connection open\n";

template <typename Body>
Body body_of(const Answer& answer) {
  if (answer.body.size() != sizeof(Body)) throw std::runtime_error("the answer has another length");
  Body value = {};
  std::memcpy(&value, answer.body.data(), sizeof(Body));
  return value;
}

/// Prints a refusal; true when there was one.
bool is_refused(const Answer& answer) {
  if (answer.status == NEST_FAST_STATUS_OK) return false;
  const std::string text(answer.body.begin(), answer.body.end());
  std::printf("{\"status\":\"%s\",\"message\":%s}\n",
              std::string(status_name(static_cast<Status>(answer.status))).c_str(), json_text(text).c_str());
  return true;
}

int simple(const Answer& answer) {
  if (is_refused(answer)) return 1;
  std::printf("{\"status\":\"OK\"}\n");
  return 0;
}

Answer greet(ControlClient& client) {
  return client.call(NEST_FAST_HELLO, uint32_t{NEST_FAST_VERSION});
}

int hello(ControlClient& client, const Words&) {
  const Answer answer = greet(client);
  if (is_refused(answer)) return 1;
  const auto body = body_of<nest_fast_hello_reply>(answer);
  std::string inodes;
  for (const auto& each : answer.descriptors) {
    struct stat facts = {};
    fstat(each.get(), &facts);
    inodes += (inodes.empty() ? "" : ",") + std::to_string(facts.st_ino);
  }
  std::printf(
      "{\"status\":\"OK\",\"version\":%u,\"engine\":%u,\"process\":%u,\"sequence\":%u,\"lanes\":%u,"
      "\"descriptors\":%u,"
      "\"memoryBytes\":%llu,\"statusBytes\":%llu,\"currentBytes\":%llu,\"previousBytes\":%llu,\"inodes\":[%s]"
      "}\n",
      body.version, body.engine, body.process, body.sequence, body.lanes, body.descriptors, body.memory_bytes,
      body.status_bytes, body.current_bytes, body.previous_bytes, inodes.c_str());
  return 0;
}

int stats(ControlClient& client, const Words&) {
  const Answer answer = client.call(NEST_FAST_STATS, std::span<const uint8_t>());
  if (is_refused(answer)) return 1;
  const auto body = body_of<nest_fast_stats_reply>(answer);
  std::printf("{\"status\":\"OK\",\"sequence\":%u,\"ports\":[", body.sequence);
  for (uint32_t i = 0; i < body.port_count; i++) {
    std::printf("%s%s", i == 0 ? "" : ",", json_stats(body.ports[i]).c_str());
  }
  std::printf("]}\n");
  return 0;
}

int status(ControlClient& client, const Words&) {
  const Answer answer = greet(client);
  if (is_refused(answer)) return 1;
  const auto body = body_of<nest_fast_hello_reply>(answer);
  const int descriptor = answer.descriptors.at(1).get();
  void* address = mmap(nullptr, body.status_bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  if (address == MAP_FAILED) throw system_failure(errno, "the status page");
  const Pages pages(address, body.status_bytes);
  const bool can_write = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) != MAP_FAILED;
  const auto* page = static_cast<const nest_fast_status*>(address);
  std::printf("{\"status\":\"OK\",\"writable\":%s,\"sequence\":%u,\"lanes\":[", can_write ? "true" : "false",
              page->sequence);
  for (uint32_t i = 0; i < page->lane_count; i++) {
    std::printf("%s{\"rounds\":%llu,\"sleeping\":%u,\"processor\":%u,\"ring\":%llu}", i == 0 ? "" : ",",
                page->lanes[i].rounds, page->lanes[i].sleeping, page->lanes[i].processor,
                page->offsets[i].ring);
  }
  std::printf("],\"ports\":[");
  bool is_first = true;
  for (uint32_t i = 0; i < NEST_FAST_PORTS_MAX; i++) {
    if (page->ports[i].mode == NEST_FAST_PORT_UNUSED) continue;
    std::printf("%s%s", is_first ? "" : ",", json_port(page->ports[i], page->counters[0][i]).c_str());
    is_first = false;
  }
  std::printf("]}\n");
  return 0;
}

uint32_t number(const std::string& text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw std::invalid_argument(text + " is no number");
  return value;
}

int load(ControlClient& client, const Words& words) {
  if (words.empty() || words.size() % 2 != 0) throw std::invalid_argument("load <image> <sequence>");
  for (size_t i = 0; i < words.size(); i += 2) {
    std::ifstream file(words[i], std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const Descriptor image = sealed_copy("nest-image", bytes.data(), bytes.size());
    const int descriptor = image.get();
    const nest_fast_load body = {.sequence = number(words[i + 1]), .pad = 0, .bytes = bytes.size()};
    const Answer answer = client.call(NEST_FAST_LOAD, body, {&descriptor, 1});
    if (is_refused(answer)) return 1;
  }
  std::printf("{\"status\":\"OK\"}\n");
  return 0;
}

int add_port(ControlClient& client, const Words& words) {
  const PortOptions port = parse_port(words);
  nest_fast_port_request body = {};
  port.name.copy(body.name, sizeof(body.name) - 1);
  port.peer.copy(body.peer, sizeof(body.peer) - 1);
  port.program.copy(body.program, sizeof(body.program) - 1);
  body.pass = port.pass;
  body.fallback = port.fallback;
  body.queue_count = static_cast<uint32_t>(port.queues.size());
  for (size_t i = 0; i < port.queues.size(); i++) body.queues[i] = port.queues[i];
  return simple(client.call(NEST_FAST_ADD_PORT, body));
}

int remove_port(ControlClient& client, const Words& words) {
  nest_fast_port_request body = {};
  words.at(0).copy(body.name, sizeof(body.name) - 1);
  return simple(client.call(NEST_FAST_REMOVE_PORT, body));
}

int flood(ControlClient& client, const Words& words) {
  return simple(client.call(NEST_FAST_FLOOD, uint32_t{words.at(0) == "on"}));
}

int records(ControlClient& client, uint16_t kind, const Words& words) {
  const nest_fast_flows body = {.cursor = 0, .limit = words.empty() ? 1024 : number(words[0])};
  const Answer answer = client.call(kind, body);
  if (is_refused(answer)) return 1;
  const auto reply = body_of<nest_fast_flows_reply>(answer);
  std::string first;
  if (reply.count > 0) {
    const Pages pages = map_sealed(answer.descriptors.at(0).get(), reply.count * sizeof(nest_record));
    for (size_t i = 0; i < sizeof(nest_record); i++) {
      char digits[3];
      std::snprintf(digits, sizeof(digits), "%02x", pages.address()[i]);
      first += digits;
    }
  }
  std::printf("{\"status\":\"OK\",\"count\":%u,\"cursor\":%u,\"first\":\"%s\"}\n", reply.count, reply.cursor,
              first.c_str());
  return 0;
}

int rows(ControlClient& client, const Words& words) {
  const uint16_t kind = words.at(0) == "sweep" ? NEST_FAST_SWEEP : NEST_FAST_FLOWS;
  const nest_fast_flows body = {.cursor = number(words.at(2)), .limit = number(words.at(1))};
  const Answer answer = client.call(kind, body);
  if (is_refused(answer)) return 1;
  const auto reply = body_of<nest_fast_flows_reply>(answer);
  std::printf("{\"status\":\"OK\",\"count\":%u,\"cursor\":%u}\n", reply.count, reply.cursor);
  if (reply.count == 0) return 0;
  const Pages pages = map_sealed(answer.descriptors.at(0).get(), reply.count * sizeof(nest_record));
  std::fwrite(pages.address(), sizeof(nest_record), reply.count, stdout);
  return 0;
}

int stop(ControlClient& client, const Words& words) {
  return simple(client.call(NEST_FAST_STOP, uint32_t{!words.empty() && words[0] == "detach"}));
}

int raw(ControlClient& client, const Words& words) {
  std::vector<uint8_t> message;
  for (size_t i = 0; i + 1 < words.at(0).size(); i += 2)
    message.push_back(static_cast<uint8_t>(std::stoul(words[0].substr(i, 2), nullptr, 16)));
  std::vector<Descriptor> owned;
  std::vector<int> numbers;
  for (uint32_t i = 0; words.size() == 3 && i < number(words[2]); i++) {
    owned.push_back(words[1] == "sealed" ? sealed_copy("nest-raw", "NESTIMG1", 8)
                                         : Descriptor(open("/dev/null", O_RDONLY)));
    numbers.push_back(owned.back().get());
  }
  constexpr int kWaitMs = 3000;
  return simple(client.exchange(message, numbers, kWaitMs));
}

int hold(ControlClient& client, const Words& words) {
  const Answer answer = greet(client);
  if (is_refused(answer)) return 1;
  std::printf("{\"status\":\"OK\"}\n");
  std::fflush(stdout);
  std::this_thread::sleep_for(std::chrono::milliseconds(number(words.at(0))));
  return 0;
}

using Command = std::function<int(ControlClient&, const Words&)>;

const std::map<std::string, Command>& commands() {
  static const std::map<std::string, Command> all = {
      {"hello", hello},
      {"stats", stats},
      {"status", status},
      {"load", load},
      {"add-port", add_port},
      {"remove-port", remove_port},
      {"flood", flood},
      {"flows", [](ControlClient& c, const Words& w) { return records(c, NEST_FAST_FLOWS, w); }},
      {"sweep", [](ControlClient& c, const Words& w) { return records(c, NEST_FAST_SWEEP, w); }},
      {"rows", rows},
      {"stop", stop},
      {"raw", raw},
      {"hold", hold},
  };
  return all;
}

}  // namespace
}  // namespace nest::fast

int main(int count, char** words) {
  using namespace nest::fast;
  const auto command = commands().find(count > 2 ? words[2] : "");
  if (command == commands().end()) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  try {
    ControlClient client(words[1]);
    return command->second(client, {words + 3, words + count});
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "nest-fastpathctl: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::printf("{\"status\":\"CONNECTION\",\"message\":%s}\n", json_text(error.what()).c_str());
    return 1;
  }
}
