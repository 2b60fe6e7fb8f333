# make            build bin/netns-exec and bin/openrc-netns-hook
# make install    install them, the drop-in and the manuals; DESTDIR, PREFIX,
#                 SBINDIR, SYSCONFDIR and MANDIR say where
# make test       everything: lint, unit tests, command line, real OpenRC
# make demo       show the main job in a throw-away OpenRC root
# make bench      netns-exec beside ip netns exec
# make fuzz       the conf.d reader against /bin/sh; FUZZTIME says how long

PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
SYSCONFDIR ?= /etc
MANDIR ?= $(PREFIX)/share/man
FUZZTIME ?= 10m

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)

# -checklinkname=0: internal/inherited reads two variables of the Go runtime.
LDFLAGS = -s -w -checklinkname=0 -X openrc-netns/internal/version.linked=$(VERSION)
export CGO_ENABLED = 0
GO ?= go
GOTEST = $(GO) test -ldflags=-checklinkname=0

MANUALS = netns-exec.8 openrc-netns-hook.8
SHELL_FILES = openrc/50-netns.conf tests/prepare

.PHONY: all build install uninstall test lint unit system demo bench fuzz clean prepare

all: build

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

install: build
	install -d '$(DESTDIR)$(SBINDIR)' '$(DESTDIR)$(SYSCONFDIR)/rc.conf.d' '$(DESTDIR)$(MANDIR)/man8'
	install -m 755 bin/netns-exec bin/openrc-netns-hook '$(DESTDIR)$(SBINDIR)'
	sed 's|^_netns_hook=.*|_netns_hook=$(SBINDIR)/openrc-netns-hook|' openrc/50-netns.conf \
		> '$(DESTDIR)$(SYSCONFDIR)/rc.conf.d/50-netns.conf'
	chmod 644 '$(DESTDIR)$(SYSCONFDIR)/rc.conf.d/50-netns.conf'
	cd man && install -m 644 $(MANUALS) '$(DESTDIR)$(MANDIR)/man8'

uninstall:
	rm -f '$(DESTDIR)$(SYSCONFDIR)/rc.conf.d/50-netns.conf'
	rm -f '$(DESTDIR)$(SBINDIR)/netns-exec' '$(DESTDIR)$(SBINDIR)/openrc-netns-hook'
	cd '$(DESTDIR)$(MANDIR)/man8' && rm -f $(MANUALS)
