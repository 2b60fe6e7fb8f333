/*
 * What users run on a machine with busybox alone, against musl:
 *
 *	sleeper SECONDS    sleep, as a daemon of the tests
 *	resolver NAME      print the address of a name
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
	const char *program = strrchr(argv[0], '/');
	char address[64];
	int code;

	if (argc != 2)
		return 2;
	if (strcmp(program ? program + 1 : argv[0], "resolver"))
		return sleep(atoi(argv[1]));
	code = getaddrinfo(argv[1], NULL, &hints, &found);
	if (!code)
		code = getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof(address), NULL, 0, NI_NUMERICHOST);
	if (code) {
		fprintf(stderr, "resolver: %s: %s\n", argv[1], gai_strerror(code));
		return 1;
	}
	puts(address);
	return 0;
}
