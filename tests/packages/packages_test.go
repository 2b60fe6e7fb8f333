// Package packages tests the packages that "make packages" builds: what is in
// them, and on machines what becomes of confined services when one is
// installed, replaced while they run, and removed.
package packages

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	treebuild "openrc-netns/tests/internal/build"
	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// installed is the folder that "make install" filled, and built has the packages
// of two versions, which start with older and newer.
var installed, built string

const older, newer = "1.0.0", "1.1.0"

// epoch is the time of everything in the packages.
const epoch = 1700000000

func TestMain(m *testing.M) {
	machine.Init()
	var err error
	if err = os.Setenv("GOFLAGS", treebuild.Flags); err != nil { // for packaging/build
		panic(err)
	}
	if built, err = os.MkdirTemp("", "openrc-netns-packages"); err != nil {
		panic(err)
	}
	code := kit.Main(m, &installed)
	os.RemoveAll(built)
	os.Exit(code)
}

// build runs packaging/build in a tree.
func build(tree, version, dir string, formats ...string) error {
	cmd := exec.Command(filepath.Join(tree, "packaging/build"), append([]string{dir}, formats...)...)
	cmd.Env = append(os.Environ(), "ARCHES="+runtime.GOARCH, "VERSION="+version, fmt.Sprint("SOURCE_DATE_EPOCH=", epoch), "MAINTAINER=A Packager <packager@example.org>")
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.New(string(out) + err.Error())
	}
	return nil
}

var buildOlder = sync.OnceValue(func() error { return build("../..", older, built) })

// copyTree copies the tree into a folder, and goes there.
const copyTree = `
	mkdir -p "$1"
	tar -C ../.. --exclude=./.git --exclude=./bin --exclude=./dist -c . | tar -C "$1" -x
	cd "$1"`

// buildNewer builds packages that speak another protocol: their drop-in, library
// and hook do not understand the older ones.
var buildNewer = sync.OnceValue(func() error {
	tree := filepath.Join(built, "tree")
	change := exec.Command("sh", "-ec", copyTree+`
		sed -i 's/^const Protocol = "v1"$/const Protocol = "v2"/' internal/openrc/*.go
		sed -i -e 's/in v1)/in v2)/' -e 's/_netns_version=v1$/_netns_version=v2/' -e 's/--protocol v1/--protocol v2/' openrc/*
		! grep -w v1 openrc/* internal/openrc/protocol.go`, "sh", tree)
	if out, err := change.CombinedOutput(); err != nil {
		return errors.New("another protocol: " + string(out) + err.Error())
	}
	return build(tree, newer, built)
})

// file is a package of the older or newer version, by the end of its name.
func file(t testing.TB, version, suffix string) string {
	t.Helper()
	build := buildOlder
	if version == newer {
		build = buildNewer
	}
	if err := build(); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(built, "openrc-netns?"+version+"-*"+suffix))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages of %s that end in %s: %q, %v", version, suffix, found, err)
	}
	return found[0]
}

// entry is a file in a package.
type entry struct {
	*tar.Header
	content string
}

// untar reads a tar archive.
func untar(t *testing.T, archive []byte) (entries []entry) {
	t.Helper()
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		header.Name = strings.TrimPrefix(header.Name, "./")
		entries = append(entries, entry{header, string(content)})
	}
}

func gunzip(t *testing.T, content string) string {
	t.Helper()
	reader, err := gzip.NewReader(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// output is what a command prints.
func output(t *testing.T, command ...string) []byte {
	t.Helper()
	out, err := exec.Command(command[0], command[1:]...).Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(command, " "), err)
	}
	return out
}

// Two builds of one tree are equal, byte for byte.
func TestReproducible(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	again := t.TempDir()
	if err := build("../..", older, again); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{".deb", ".apk", ".pkg.tar.zst"} {
		first := file(t, older, suffix)
		want := kit.Read(t, first)
		if got, err := os.ReadFile(filepath.Join(again, filepath.Base(first))); err != nil || string(got) != want {
			t.Errorf("%s: another build made other bytes (%v)", suffix, err)
		}
	}
}

// All that "make install" installs is in each package, where the distribution
// looks for it, owned by root and readable by all, and says which version it is.
// The files of conf.d are configuration, and so are hooks in /etc.
func TestContents(t *testing.T) {
	t.Parallel()
	deb, apk, pacman := file(t, older, ".deb"), file(t, older, ".apk"), file(t, older, ".pkg.tar.zst")
	const configuration = "etc/conf.d/netns etc/conf.d/openrc-netns"

	t.Run("deb", func(t *testing.T) {
		assertContents(t, untar(t, output(t, "dpkg-deb", "--fsys-tarfile", deb)),
			strings.NewReplacer("site-functions", "vendor-completions", "lib/resolvconf", "usr/lib/resolvconf",
				"etc/udhcpc/post-bound/openrc-netns", "usr/libexec/dhcpcd-hooks/90-openrc-netns", "etc/udhcpc/post-renew/openrc-netns", ""),
			"usr/share/doc/openrc-netns/copyright", "usr/share/doc/openrc-netns/changelog.gz",
			"usr/share/doc/openrc-netns/changelog.Debian.gz", "usr/share/lintian/overrides/openrc-netns")
		kit.Equal(t, "version", string(output(t, "dpkg-deb", "--field", deb, "Version", "Maintainer", "Architecture")),
			"Version: "+older+"-1\nMaintainer: A Packager <packager@example.org>\nArchitecture: "+runtime.GOARCH+"\n")
		kit.Equal(t, "conffiles", strings.Join(strings.Fields(string(output(t, "dpkg-deb", "--info", deb, "conffiles"))), " "),
			"/etc/conf.d/netns /etc/conf.d/openrc-netns /etc/network/if-up.d/openrc-netns")
	})
	t.Run("apk", func(t *testing.T) {
		p := readAPK(t, apk)
		assertContents(t, p.data, strings.NewReplacer("lib/lsb/init-functions.d/50-openrc-netns", "", "lib/resolvconf", "usr/libexec/openresolv"),
			"usr/share/licenses/openrc-netns/LICENSE")
		kit.Equal(t, "version", p.info["pkgver"], older+"-r1")
		kit.Equal(t, "checksum", p.info["datahash"], p.datahash)
	})
	t.Run("pacman", func(t *testing.T) {
		if _, err := exec.LookPath("zstd"); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
		entries := untar(t, output(t, "zstd", "-dc", pacman))
		assertContents(t, entries, strings.NewReplacer("lib/lsb/init-functions.d/50-openrc-netns", "", "usr/sbin", "usr/bin",
			"lib/resolvconf", "usr/lib/resolvconf", "etc/udhcpc/post-bound/openrc-netns", "", "etc/udhcpc/post-renew/openrc-netns", "",
			"etc/network/if-up.d/openrc-netns", ""),
			".PKGINFO", ".MTREE", ".INSTALL", "usr/share/libalpm/hooks/openrc-netns.hook", "usr/share/libalpm/scripts/openrc-netns",
			"usr/share/licenses/openrc-netns/LICENSE")
		var backup []string
		for _, e := range entries {
			for line := range strings.Lines(e.content) {
				if name, is := strings.CutPrefix(line, "backup = "); e.Name == ".PKGINFO" && is {
					backup = append(backup, strings.TrimSpace(name))
				}
			}
			if e.Name == "etc/rc.conf.d/50-netns.conf" {
				kit.Contains(t, e.content, "exec /usr/bin/openrc-netns-hook")
			}
		}
		kit.Equal(t, "backup", strings.Join(backup, " "), configuration)
	})
}

// assertContents compares files with those that "make install" installs, whose
// names are replaced (by nothing: it is not there), and more.
func assertContents(t *testing.T, entries []entry, names *strings.Replacer, more ...string) {
	t.Helper()
	want := map[string]bool{}
	for _, name := range more {
		want[name] = true
	}
	err := filepath.WalkDir(installed, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "probe" {
			return err
		}
		name, err := filepath.Rel(installed, path)
		if strings.HasPrefix(name, "usr/share/man/") {
			name += ".gz"
		}
		if name = names.Replace(name); name != "" {
			want[name] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Typeflag == tar.TypeDir {
			kit.Equal(t, e.Name, fmt.Sprintf("%o %d:%d", e.Mode, e.Uid, e.Gid), "755 0:0")
			continue
		}
		if !want[e.Name] {
			t.Errorf("%s should not be there", e.Name)
		}
		delete(want, e.Name)
		switch {
		case strings.HasSuffix(e.Name, "/50-netns.conf") && e.Typeflag == tar.TypeReg || strings.HasSuffix(e.Name, ".sh"):
			kit.Equal(t, e.Name, strings.SplitN(e.content, "\n", 2)[0], "# openrc-netns "+older)
		case strings.HasPrefix(e.Name, "usr/share/man/"):
			kit.Contains(t, gunzip(t, e.content), "\n.Os openrc-netns "+older+"\n")
		}
		mode := int64(0o644)
		if strings.HasPrefix(e.content, "#!") || strings.HasPrefix(e.content, "\x7fELF") {
			mode = 0o755
		}
		if e.Typeflag == tar.TypeReg && (e.Mode != mode || e.Uid != 0 || e.Gid != 0) {
			t.Errorf("%s: mode %o, owner %d:%d, want %o and root", e.Name, e.Mode, e.Uid, e.Gid, mode)
		}
		if e.Typeflag == tar.TypeReg && e.ModTime.Unix() != epoch {
			t.Errorf("%s: changed at %v, not at SOURCE_DATE_EPOCH", e.Name, e.ModTime)
		}
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
}
