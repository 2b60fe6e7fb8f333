package migrate

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write what is found into the files of testdata")

// examine looks at a service with these files.
func examine(name string, confs []string, script string) *service {
	s := &service{Service: Service{Name: name}, script: script, variables: map[string][]assigned{}}
	for _, conf := range confs {
		s.read(conf, true)
	}
	s.read(script, false)
	s.judge()
	return s
}

// show is what is said of a service, without the directory.
func show(s *service, dir string) string {
	var text strings.Builder
	line := func(l Line) string {
		return strings.TrimSuffix(fmt.Sprintf("%s:%d: %s", filepath.Base(l.Path), l.Line, l.Text), " ")
	}
	fmt.Fprintf(&text, "netns %q, vrf %q\n", s.Netns, s.VRF)
	for _, l := range s.Entries {
		text.WriteString("enters " + line(l) + "\n")
	}
	for _, name := range s.Links {
		text.WriteString("link netns." + name + "\n")
	}
	for _, w := range s.Settings {
		fmt.Fprintf(&text, "set %s: %s\n", w.Path, w.Text)
	}
	for _, e := range s.Edits {
		name := filepath.Base(e.Path)
		fmt.Fprintf(&text, "%s:%d - %s\n%[1]s:%[2]d + %[4]s\n", name, e.Line, e.Before, e.Text)
	}
	for _, r := range s.Remarks {
		fmt.Fprintf(&text, "%s %s", r.Kind, line(r.Line))
		for _, name := range r.Names {
			fmt.Fprintf(&text, " [%s]", strings.ReplaceAll(name, dir+"/", ""))
		}
		text.WriteString("\n")
	}
	return strings.ReplaceAll(text.String(), " \n", "\n")
}

// Each file has a service, called as its "name" says or else web, and what is
// said of it. What is edited as said is a script still, and nothing is left to
// edit.
func TestServices(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir, name, want := t.TempDir(), "web", -1
			var confs []string
			for i, f := range archive.Files {
				switch {
				case f.Name == "want":
					want = i
					continue
				case f.Name == "name":
					name = strings.TrimSpace(string(f.Data))
					continue
				case strings.HasPrefix(f.Name, "conf"):
					confs = append(confs, filepath.Join(dir, f.Name))
				}
				if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			script := filepath.Join(dir, "script")
			s := examine(name, confs, script)
			got := show(s, dir)
			if *update {
				if want < 0 {
					archive.Files = append(archive.Files, txtar.File{Name: "want"})
					want = len(archive.Files) - 1
				}
				archive.Files[want].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(archive.Files[want].Data), got); diff != "" {
				t.Error(diff)
			}
			apply(t, s)
			for _, path := range append(confs, script) {
				if out, err := exec.Command("/bin/sh", "-n", path).CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", path, err, out)
				}
			}
			if again := examine(name, confs, script); len(again.Edits) > 0 {
				t.Errorf("left to edit:\n%s", show(again, dir))
			}
		})
	}
}

// apply edits the files as is said.
func apply(t *testing.T, s *service) {
	t.Helper()
	for _, e := range s.Edits {
		text, err := os.ReadFile(e.Path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		if lines[e.Line-1] != e.Before {
			t.Fatalf("%s:%d is %q", e.Path, e.Line, lines[e.Line-1])
		}
		lines[e.Line-1] = e.Text
		if err := os.WriteFile(e.Path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// What is no script is named, if it is told at all, and none of it blocks.
func TestOddFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "script")
	const entry = "start() {\n\tip netns exec vpn web\n}\n"
	for name, c := range map[string]struct {
		make func() error
		want string
	}{
		"a long script": {func() error {
			return os.WriteFile(path, append(bytes.Repeat([]byte("echo ip netns exec vpn x # y\n"), 8_000), entry...), 0o644)
		}, "set /etc/conf.d/web: netns=vpn\n"},
		"a script of them": {func() error { return os.WriteFile(path, bytes.Repeat([]byte("ip netns exec vpn x\n"), 12_000), 0o644) },
			"script:12000 + x\n"},
		"a script of odd ones": {func() error {
			return os.WriteFile(path, bytes.Repeat([]byte("ip netns exec \"$1\" x\n"), 11_000), 0o644)
		},
			"from-argument script:11000: "},
		"a script of moves": {func() error {
			return os.WriteFile(path, append(bytes.Repeat([]byte("ip link set x netns y\n"), 11_000), entry...), 0o644)
		}, "on-host script:11000: "},
		"too long": {func() error { return os.WriteFile(path, bytes.Repeat([]byte("ip netns exec vpn x\n"), 14_000), 0o644) },
			"no-script script:1: ip netns exec vpn x [280000 bytes, which is too long for a script]"},
		"a megabyte":     {func() error { return os.WriteFile(path, bytes.Repeat([]byte("# x\n"), 300_000), 0o644) }, "unread script:0: [\"script\" is larger than 1048576 bytes"},
		"a binary":       {func() error { return os.WriteFile(path, []byte("\x7fELF\x00netns exec\n"), 0o755) }, "no-script script:1:"},
		"another binary": {func() error { return os.WriteFile(path, []byte("\x7fELF\x00\n"), 0o755) }, "netns \"\", vrf \"\"\n"},
		"FIFO":           {func() error { return unix.Mkfifo(path, 0o644) }, `unread script:0: ["script" is not a regular file]`},
		"directory":      {func() error { return os.Mkdir(path, 0o755) }, `unread script:0: ["script" is a directory, not a file]`},
		"to nowhere":     {func() error { return os.Symlink("nowhere", path) }, "unread script:0: [open script: no such file or directory]"},
		"empty":          {func() error { return os.WriteFile(path, nil, 0o644) }, "netns \"\", vrf \"\"\n"},
		"quotes with no end": {func() error {
			return os.WriteFile(path, []byte("start() {\n\tip netns exec vpn 'web\n}\n"), 0o644)
		}, "no-script script:2: ip netns exec vpn 'web [reached EOF without closing quote `'`]\n"},
		"quotes with no end, of no concern": {func() error { return os.WriteFile(path, []byte("a 'b\n"), 0o644) }, "netns \"\", vrf \"\"\n"},
		"carriage returns": {func() error {
			return os.WriteFile(path, []byte("ip netns exec vpn\r\n\r\nip netns exec vpn\r web\r\n"), 0o644)
		}, `no-script script:1: ip netns exec vpn [a carriage return, which is part of a word for a shell]`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.RemoveAll(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if err := c.make(); err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(show(examine("web", nil, path), dir), dir+"/", "")
			if !strings.Contains(got, c.want) {
				t.Errorf("%.400s\nwant %s", got, c.want)
			}
		})
	}
}
