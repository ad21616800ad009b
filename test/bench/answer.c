// SPDX-License-Identifier: AGPL-3.0-only
// The server of section "connect": one thread, one fixed answer to every request that ends here. Closes
// when asked to. Argument: port. Listens on every IPv4 address until it is ended.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX    256
#define REQUEST_BYTES 4096 /* a request is one write of wrk, and shorter */

static const char answer[] =
	"HTTP/1.1 200 OK\r\nContent-Length: 64\r\nContent-Type: text/plain\r\n\r\n"
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void accept_all(int listener, int epoll)
{
	const int on = 1;

	for (;;) {
		const int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct epoll_event event = {.events = EPOLLIN, .data.fd = socket};

		if (socket < 0)
			return;
		setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
	}
}

static void serve(int socket)
{
	char request[REQUEST_BYTES + 1];
	const ssize_t bytes = read(socket, request, REQUEST_BYTES);

	if (bytes < 0 && errno == EAGAIN)
		return;
	if (bytes <= 0) {
		close(socket);
		return;
	}
	request[bytes] = 0;
	if (write(socket, answer, sizeof(answer) - 1) < 0 || strstr(request, "Connection: close"))
		close(socket);
}

int main(int argc, char **argv)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((unsigned short)atoi(argc > 1 ? argv[1] : "0"))};
	const int on = 1;
	const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[EVENTS_MAX] = {{.events = EPOLLIN, .data.fd = listener}};

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 4096) != 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, events) != 0) {
		perror("answer");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		const int count = epoll_wait(epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				accept_all(listener, epoll);
			else
				serve(events[i].data.fd);
		}
	}
}
