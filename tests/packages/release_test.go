package packages

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// tree is a copy of the tree that is a repository of its own.
type tree struct {
	t   *testing.T
	dir string
}

func newTree(t *testing.T) tree {
	t.Helper()
	r := tree{t, t.TempDir()}
	output(t, "sh", "-ec", copyTree+`
		git init -q
		git config user.name 'A Packager'
		git config user.email packager@example.org`, "sh", r.dir)
	r.commit()
	return r
}

// sh runs a script in the tree that has to succeed, and returns what it prints.
func (r tree) sh(script string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("sh", append([]string{"-ec", script, "sh"}, args...)...)
	cmd.Dir = r.dir
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		r.t.Fatalf("%s: %v\n%s%s", script, err, out, exit.Stderr)
	}
	return string(out)
}

func (r tree) commit() {
	r.t.Helper()
	r.sh("git add --all; GIT_COMMITTER_DATE='@1700000000 +0000' git commit -q --date='@1700000000 +0000' -m Change")
}

// release makes a release, and returns its folder and what is said.
func (r tree) release() (dir, said string, err error) {
	r.t.Helper()
	dir = r.t.TempDir()
	out, err := exec.Command(filepath.Join(r.dir, "packaging/release"), dir).CombinedOutput()
	return dir, string(out), err
}

// A tree that is not ready is not released.
func TestReleaseRefuses(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	r := newTree(t)
	refuses := func(why string) {
		t.Helper()
		dir, said, err := r.release()
		if err == nil {
			t.Error("it makes a release")
		}
		kit.Contains(t, said, "packaging/release: "+why)
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("it leaves %v", left)
		}
	}
	r.sh("echo 7.8.9-dev >internal/version/VERSION")
	r.commit()
	refuses("internal/version/VERSION is 7.8.9-dev: remove -dev")
	r.sh("echo 7.8.9 >internal/version/VERSION")
	refuses("commit first:  M internal/version/VERSION")
	r.commit()
	refuses(`CHANGELOG.md has no heading "## 7.8.9 (YEAR-MONTH-DAY)"`)
}

// A release is complete, the same when it is made again, and what its recipes
// build is what is in its packages.
func TestRelease(t *testing.T) {
	kit.Whole(t)
	r := newTree(t)
	r.sh(`sed -i s/-dev// internal/version/VERSION; sed -i 's/ (unreleased)/ (2026-01-02)/' CHANGELOG.md`)
	r.commit()
	version := strings.TrimSpace(r.sh("cat internal/version/VERSION"))
	dir, said, err := r.release()
	if err != nil {
		t.Fatal(said)
	}
	kit.Contains(t, said, "git tag --annotate --cleanup=verbatim --file="+dir+"/TAG v"+version)
	again, said, err := r.release()
	if err != nil {
		t.Fatal(said)
	}
	r.sh(`diff -r "$1" "$2"; cd "$1"; sha256sum --quiet --check SHA256SUMS`, dir, again)
	kit.Equal(t, "architectures", r.sh(`cd "$1"; ls *.deb *.apk *.zst | grep -oE 'amd64|arm64|aarch64|x86_64' | sort | xargs`, dir), "aarch64 aarch64 amd64 arm64 x86_64 x86_64\n")
	kit.Contains(t, r.sh(`cat "$1/TAG"`, dir), "openrc-netns "+version+"\n\nThe first version.\n")

	d := tree{t, dir}
	d.sh("dpkg-deb --extract openrc-netns_*_amd64.deb deb")
	kit.Equal(t, "version", d.sh("deb/usr/sbin/rc-netns --version"), "rc-netns "+version+"\n")
	for _, module := range strings.Fields(d.sh(`go version -m deb/usr/sbin/* | awk '$1 == "dep" { print $2 "@" $3 }'`)) {
		kit.Contains(t, d.sh("cat *.spdx"), "purl pkg:golang/"+module+"\n")
	}

	t.Run("lintian", func(t *testing.T) {
		// Whoever builds packages says who that is.
		tree{t, dir}.sh("lintian --allow-root --fail-on error,warning --suppress-tags bogus-mail-host,root-in-contact,bogus-mail-host-in-debian-changelog *.deb >&2")
	})
	t.Run("makepkg", func(t *testing.T) {
		d := tree{t, t.TempDir()}
		// As makepkg wants it, not as root, and without modules from elsewhere.
		d.sh(`cp "$1"/PKGBUILD "$1"/*.install "$1"/*.tar.* .
			chmod 755 . ..; chown -R nobody .
			export HOME="$PWD" TMPDIR="$PWD" GOPROXY=off GOFLAGS=-buildvcs=false PKGEXT=.pkg.tar
			setpriv --reuid nobody --regid nogroup --clear-groups sh -ec 'makepkg --printsrcinfo >SRCINFO; makepkg --nodeps' >log 2>&1 || { cat log >&2; exit 1; }`, dir)
		kit.Contains(t, d.sh("cat SRCINFO"), "pkgver = "+version)
		d.sameFiles(d.sh("tar -tf openrc-netns-*.pkg.tar --exclude '.*'"), dir, "zstd -dc openrc-netns-*x86_64.pkg.tar.zst | tar -t --exclude '.*'")
	})
	t.Run("abuild", func(t *testing.T) {
		d := tree{t, t.TempDir()}
		d.sh(`tar -xf "$1"/openrc-netns-[0-9]*.tar.gz; tar -xf "$1"/openrc-netns-*-vendor.tar.xz
			export GOPROXY=off pkgdir="$PWD/pkg"
			. "$1"/APKBUILD
			(cd "$pkgname-$pkgver"; build >&2; package >&2)
			for file in $source $install; do [ -e "$1/$file" ]; done
			cd "$1"; echo "$sha512sums" | sed '/^$/d' | sha512sum --quiet --check`, dir)
		d.sh("find pkg/usr/share/man -type f -exec gzip {} +")
		d.sameFiles(d.sh("cd pkg; find . -type f -o -type l | cut -c 3-"), dir, "cat openrc-netns*x86_64.apk | tar -tz --ignore-zeros --exclude '.*'")
	})
	t.Run("portage", func(t *testing.T) {
		d := tree{t, t.TempDir()}
		d.sh(`tar -xf "$1"/openrc-netns-[0-9]*.tar.gz; tar -xf "$1"/openrc-netns-*-vendor.tar.xz
			export GOPROXY=off D="$PWD/pkg"
			cd openrc-netns-[0-9]*
			P=${PWD##*/} bash -ec '
				inherit() { :; }; emake() { make "$@" >&2; }; einstalldocs() { :; }
				exeinto() { into=$D$1; }; doexe() { install -D -t "$into" "$1"; }
				newenvd() { mkdir -p "$D/etc/env.d"; cat >"$D/etc/env.d/$2"; }
				. "$1"/openrc-netns-*.ebuild; src_compile; src_install
				for file in $SRC_URI; do [ -e "$1/$file" ]; done' bash "$1"`, dir)
		d.sh("rm pkg/etc/env.d/50openrc-netns pkg/usr/share/openrc-netns/preremove; find pkg/usr/share/man -type f -exec gzip {} +")
		d.sh("install -D /dev/null pkg/usr/share/licenses/openrc-netns/LICENSE")
		// Hooks are where each distribution's programs look.
		const hooks = " | grep -v -e dhcp -e resolv -e if-up"
		d.sameFiles(d.sh("cd pkg; find . -type f -o -type l | cut -c 3-"+hooks), dir, "cat openrc-netns*x86_64.apk | tar -tz --ignore-zeros --exclude '.*'"+hooks)
	})
}

// sameFiles compares a list of files with the one that a script prints in a
// folder; those that end in a slash are folders.
func (r tree) sameFiles(got, dir, script string) {
	r.t.Helper()
	sorted := func(list string) string {
		return r.sh(`echo "$1" | sed -e '/\/$/d' -e '/^$/d' | sort`, list)
	}
	kit.Equal(r.t, "files", sorted(got), sorted(tree{r.t, dir}.sh(script)))
}
