# make            build bin/netns-exec, bin/netns-publish, bin/openrc-netns-hook
#                 and bin/rc-netns
# make install    install them, the drop-in, the init script, the manuals and the
#                 completions; DESTDIR, PREFIX, SBINDIR, SYSCONFDIR, DATADIR, LSBDIR,
#                 MANDIR, BASHCOMPDIR, ZSHCOMPDIR, FISHCOMPDIR and HOOKS say where;
#                 without DESTDIR, say whether this machine's OpenRC fits
# make packages   build .deb, .apk and .pkg.tar.zst into dist; ARCHES="amd64 arm64"
#                 and MAINTAINER="Name <address>" say for what and by whom
# make release    make those, sources, recipes, checksums and the text of the tag
#                 in dist, of a tree that says which version it is
# make test       in minutes: lint, unit tests, command line, real OpenRC, a boot,
#                 VRF, a tunnel, packages, a short attack; at the end a table of
#                 what was seen on each OpenRC with each shell; fails too if it
#                 has changed this machine (tests/watch)
# make test-all   all that there is, in two hours at most: each scene on each
#                 OpenRC with each shell, other architectures, kernels and
#                 releases of Go, installations, releases, a row of each bench
# make soak       what takes longer, in parts of 50 minutes at most: PART=1, 2, ...
# make lint       gofmt, vet (with 32 bits too), staticcheck, govulncheck,
#                 shellcheck, shfmt, mandoc
# make demo       show the main job in a throw-away OpenRC root
# make bench      netns-exec beside ip netns exec, and with a VRF beside ip vrf
#                 exec, in a virtual machine; services beside an OpenRC without
#                 the drop-in, and confined ones beside Alpine's patched one;
#                 netns-publish beside systemd-socket-proxyd and socat; status,
#                 repair, egress and check where others have piled up work;
#                 BENCH=Services/dash/start for some of these,
#                 BENCH_SMOKE=1 for a run that only shows that all rows work
# make torture    attack the programs, and judge every launch, every look and what
#                 the hook hands over; TORTURE_S says for how many seconds,
#                 TORTURE_ARGS what to repeat
# make fuzz       the conf.d reader against /bin/sh; FUZZTIME says how long

PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
SYSCONFDIR ?= /etc
DATADIR ?= $(PREFIX)/share
# Empty where there are none of Debian's init scripts.
LSBDIR ?= /lib/lsb
MANDIR ?= $(DATADIR)/man
BASHCOMPDIR ?= $(DATADIR)/bash-completion/completions
# Debian and Devuan: ZSHCOMPDIR=/usr/share/zsh/vendor-completions
ZSHCOMPDIR ?= $(DATADIR)/zsh/site-functions
FISHCOMPDIR ?= $(DATADIR)/fish/vendor_completions.d
# What has rc-netns repair called where the host's resolv.conf was written: dhcpcd,
# openresolv, udhcpc as Alpine runs it, ifupdown. PACKAGING.md says where others
# look.
HOOKS ?= $(PREFIX)/lib/dhcpcd/dhcpcd-hooks/90-openrc-netns \
	/lib/resolvconf/libc.d/openrc-netns \
	$(SYSCONFDIR)/udhcpc/post-bound/openrc-netns $(SYSCONFDIR)/udhcpc/post-renew/openrc-netns \
	$(SYSCONFDIR)/network/if-up.d/openrc-netns
BIN ?= bin
FUZZTIME ?= 10m
BENCH ?= .
TORTURE_S ?= 600
PART ?= 1

# A development build has its revision too.
WORD := $(shell cat internal/version/VERSION)
VERSION := $(WORD)$(if $(filter %-dev,$(WORD)),$(addprefix +,$(shell git describe --always --dirty --exclude='*' 2>/dev/null)))

# All that is built, tested or checked: the tag is for internal/inherited, which
# reads variables of the Go runtime, and the flag has the linker allow that.
# Without the tag the programs refuse to run. GOFLAGS of the caller come first.
override export GOFLAGS += -tags=linkname -ldflags=-checklinkname=0
LDFLAGS = -s -w -checklinkname=0 -X openrc-netns/internal/version.linked=$(VERSION)
export CGO_ENABLED = 0
export BENCH_SMOKE
# Another Go: make test GO=go1.27.4. The tests that build something find the
# same one, as go test puts it first in PATH.
GO ?= go
# The newer of the two releases that are supported; go.mod has the older.
OTHER_GO = go1.27.4

# What the drop-in reads for services with settings.
LIBRARY = $(wildcard openrc/*.sh)
# The shell files name the programs and the library; and the version, in place of
# what shellcheck is told.
PATHS = sed -e '1s|^. shellcheck .*|\# openrc-netns $(VERSION)|' -e 's|/usr/sbin/|$(SBINDIR)/|' -e 's|/usr/share/openrc-netns|$(DATADIR)/openrc-netns|'
MANUALS = openrc-netns.7 netns-exec.8 netns-publish.8 openrc-netns-hook.8 rc-netns.8
CONFIGS = netns openrc-netns
SHELL_FILES = .ci/run hooks/openrc-netns openrc/50-netns.conf openrc/50-openrc-netns $(LIBRARY) openrc/supported tests/prepare tests/watch tests/vulncheck tests/othergo
SHELL_FILES += $(addprefix packaging/,build postinstall postremove preremove release sbom)
INIT_SCRIPTS = openrc/netns openrc/netns-publish $(wildcard tests/openrc/testdata/init.d/*) tests/machine/sshd.initd

.PHONY: all build install install-completions install-hooks uninstall packages release install-for-tests test test-all soak lint demo bench torture fuzz clean

all: build

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

install: build install-completions install-hooks
	install -d '$(DESTDIR)$(SBINDIR)' '$(DESTDIR)$(SYSCONFDIR)/rc.conf.d' '$(DESTDIR)$(SYSCONFDIR)/conf.d' '$(DESTDIR)$(SYSCONFDIR)/init.d'
	install -m 755 $(BIN)/netns-exec $(BIN)/netns-publish $(BIN)/openrc-netns-hook $(BIN)/rc-netns '$(DESTDIR)$(SBINDIR)'
	install -d '$(DESTDIR)$(SYSCONFDIR)/user/rc.conf.d'
	ln -sf ../../rc.conf.d/50-netns.conf '$(DESTDIR)$(SYSCONFDIR)/user/rc.conf.d/50-netns.conf'
	for script in netns netns-publish; do \
		$(PATHS) openrc/$$script >'$(DESTDIR)$(SYSCONFDIR)/init.d/'$$script && \
			chmod 755 '$(DESTDIR)$(SYSCONFDIR)/init.d/'$$script || exit; \
	done
	install -d '$(DESTDIR)$(DATADIR)/openrc-netns'
	for file in $(LIBRARY); do \
		$(PATHS) $$file >'$(DESTDIR)$(DATADIR)/openrc-netns/'$${file##*/} || exit; \
	done
	chmod 644 '$(DESTDIR)$(DATADIR)/openrc-netns/'*.sh
	install -m 755 openrc/supported '$(DESTDIR)$(DATADIR)/openrc-netns'
# In one step, and last: a service may start meanwhile.
	$(PATHS) openrc/50-netns.conf >'$(DESTDIR)$(SYSCONFDIR)/rc.conf.d/50-netns.conf.new'
	chmod 644 '$(DESTDIR)$(SYSCONFDIR)/rc.conf.d/50-netns.conf.new'
	mv '$(DESTDIR)$(SYSCONFDIR)/rc.conf.d/50-netns.conf.new' '$(DESTDIR)$(SYSCONFDIR)/rc.conf.d/50-netns.conf'
	[ -z '$(LSBDIR)' ] || install -D -m 644 openrc/50-openrc-netns '$(DESTDIR)$(LSBDIR)/init-functions.d/50-openrc-netns'
	for file in $(CONFIGS); do \
		[ -e '$(DESTDIR)$(SYSCONFDIR)/conf.d/'$$file ] || \
			install -m 644 conf.d/$$file '$(DESTDIR)$(SYSCONFDIR)/conf.d' || exit; \
	done
	for file in $(MANUALS); do \
		install -d '$(DESTDIR)$(MANDIR)/man'$${file##*.} && \
			sed 's/^\.Os$$/.Os openrc-netns $(VERSION)/' man/$$file >'$(DESTDIR)$(MANDIR)/man'$${file##*.}/$$file && \
			chmod 644 '$(DESTDIR)$(MANDIR)/man'$${file##*.}/$$file || exit; \
	done
	@[ -n '$(DESTDIR)' ] || openrc/supported '$(SYSCONFDIR)'

install-completions:
	install -d '$(DESTDIR)$(BASHCOMPDIR)' '$(DESTDIR)$(ZSHCOMPDIR)' '$(DESTDIR)$(FISHCOMPDIR)'
	install -m 644 completions/netns-exec.bash '$(DESTDIR)$(BASHCOMPDIR)/netns-exec'
	ln -sf netns-exec '$(DESTDIR)$(BASHCOMPDIR)/rc-netns'
	install -m 644 completions/_netns-exec '$(DESTDIR)$(ZSHCOMPDIR)'
	install -m 644 completions/netns-exec.fish completions/rc-netns.fish '$(DESTDIR)$(FISHCOMPDIR)'

install-hooks:
	for file in $(strip $(HOOKS)); do \
		install -d '$(DESTDIR)'"$${file%/*}" && \
			$(PATHS) hooks/openrc-netns >'$(DESTDIR)'"$$file" && \
			chmod 755 '$(DESTDIR)'"$$file" || exit; \
	done

# The administrator's conf.d files stay.
uninstall:
	rm -f '$(DESTDIR)$(SYSCONFDIR)/rc.conf.d/50-netns.conf' '$(DESTDIR)$(SYSCONFDIR)/user/rc.conf.d/50-netns.conf' '$(DESTDIR)$(SYSCONFDIR)/init.d/netns' '$(DESTDIR)$(SYSCONFDIR)/init.d/netns-publish'
	rm -f '$(DESTDIR)$(LSBDIR)/init-functions.d/50-openrc-netns' 
	for file in $(strip $(HOOKS)); do rm -f '$(DESTDIR)'"$$file"; done
	for file in $(LIBRARY) supported; do rm -f '$(DESTDIR)$(DATADIR)/openrc-netns/'$${file##*/}; done
	[ ! -d '$(DESTDIR)$(DATADIR)/openrc-netns' ] || rmdir '$(DESTDIR)$(DATADIR)/openrc-netns'
	rm -f '$(DESTDIR)$(SBINDIR)/netns-exec' '$(DESTDIR)$(SBINDIR)/netns-publish' '$(DESTDIR)$(SBINDIR)/openrc-netns-hook' '$(DESTDIR)$(SBINDIR)/rc-netns'
	for file in $(CONFIGS); do \
		! cmp -s conf.d/$$file '$(DESTDIR)$(SYSCONFDIR)/conf.d/'$$file || \
			rm '$(DESTDIR)$(SYSCONFDIR)/conf.d/'$$file; \
	done
	for file in $(MANUALS); do rm -f '$(DESTDIR)$(MANDIR)/man'$${file##*.}/$$file; done
	rm -f '$(DESTDIR)$(BASHCOMPDIR)/netns-exec' '$(DESTDIR)$(BASHCOMPDIR)/rc-netns' '$(DESTDIR)$(ZSHCOMPDIR)/_netns-exec'
	rm -f '$(DESTDIR)$(FISHCOMPDIR)/netns-exec.fish' '$(DESTDIR)$(FISHCOMPDIR)/rc-netns.fish'

packages:
	GO='$(GO)' packaging/build dist

release: lint
	rm -rf dist
	GO='$(GO)' packaging/release dist

# The suites that take longest come first. What runs at the same time mostly
# waits.
SUITES = ./tests/openrc ./tests/vrf ./tests/boot ./tests/packages ./...
RUN = @dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && $(MAKE) -s install-for-tests DESTDIR="$$dir/root" && \
	OPENRC_NETNS_INSTALLED="$$dir/root" OPENRC_NETNS_TABLE="$$dir/table" \
	tests/watch $(GO) run ./tests/run -table "$$dir/table" $(GO) test -count=1 -p=3 -parallel=6

install-for-tests: install
	$(GO) build -o '$(DESTDIR)$(SBINDIR)/probe' ./tests/probe

test: lint
	@tests/prepare ip pgrep busybox mmdebstrap script strace zstd
	$(RUN) -short -timeout=1h $(SUITES)

test-all: lint
	@tests/prepare ip pgrep busybox mmdebstrap script strace zstd lintian makepkg pacman bsdtar fakeroot hyperfine
	$(RUN) -timeout=3h $(SUITES)
	@GO='$(GO)' tests/watch tests/othergo $(OTHER_GO)
	tests/watch $(MAKE) -s bench BENCH_SMOKE=1

# The launches, and what takes a real OpenRC: looks and the hand-over.
TORTURE = -run=TestTorture ./tests/torture ./tests/openrc

# Each part attacks with another seed, and has other files of conf.d.
soak:
	TORTURE_S=2400 $(GO) test -v -timeout 1h -count=1 $(TORTURE) -args -seed $(PART)
	$(MAKE) -s fuzz FUZZTIME=10m

lint:
	@tests/prepare shellcheck mandoc
	@files=$$(gofmt -l cmd internal tests) && [ -z "$$files" ] || { echo "gofmt these: $$files" >&2; exit 1; }
	$(GO) vet ./...
	GOARCH=386 $(GO) vet ./cmd/... ./internal/...
	$(GO) tool staticcheck ./...
	GO='$(GO)' tests/vulncheck
	shellcheck $(SHELL_FILES)
	shellcheck completions/netns-exec.bash packaging/alpine/* packaging/artix/* packaging/gentoo/*
	shellcheck --shell=sh --exclude=SC1008,SC2034,SC2086,SC2154 $(INIT_SCRIPTS)
	$(GO) tool shfmt -d $(SHELL_FILES) $(INIT_SCRIPTS) completions/netns-exec.bash
	cd man && mandoc -T lint -W warning $(MANUALS)

demo: build
	@tests/prepare mmdebstrap
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
		$(MAKE) -s install DESTDIR="$$dir" && \
		$(GO) build -o "$$dir$(SBINDIR)/probe" ./tests/probe && \
		$(GO) build -o "$$dir$(SBINDIR)/wireguard-go" golang.zx2c4.com/wireguard && \
		$(GO) run ./tests/demo "$$dir"

bench: build
	@tests/prepare hyperfine ip mmdebstrap
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && $(MAKE) -s install-for-tests DESTDIR="$$dir/root" && \
		OPENRC_NETNS_INSTALLED="$$dir/root" $(GO) test -timeout=0 -bench '$(BENCH)' ./tests/bench

torture:
	TORTURE_S=$(TORTURE_S) $(GO) test -v -timeout 0 -count=1 $(TORTURE) -args $(TORTURE_ARGS)

fuzz:
	$(GO) test -fuzz=FuzzParseAgreesWithSh -fuzztime=$(FUZZTIME) ./internal/confd

clean:
	rm -rf bin dist
