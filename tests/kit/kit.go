// Package kit is what the tests on machines share: machines that end with the
// test, what is done in them, and what is asserted of them.
package kit

import (
	"cmp"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"openrc-netns/tests/internal/build"
	"openrc-netns/tests/machine"
	"openrc-netns/tests/vm"
)

// Main runs the tests of a package, with installed set to a folder that "make
// install DESTDIR=" has filled, and the probe. It returns what the program has
// to exit with. Where no machine can be made it says so, and fails in CI.
func Main(m *testing.M, installed *string) int {
	if err := machine.Check(); err != nil {
		fmt.Println("skipped: the tests on machines:", err)
		if os.Getenv("CI") == "true" {
			return 1
		}
		return 0
	}
	dir, remove, err := build.Installed()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	*installed = dir
	return m.Run()
}

// Require skips the test where no machine can be made, and says why. Under
// CI=true a missing program is a failure.
func Require(t testing.TB) {
	t.Helper()
	err := machine.Check()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true" && !errors.Is(err, machine.ErrNotRoot):
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// Whole skips a test that "make test", which is "go test -short", leaves to "make
// test-all".
func Whole(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("left to make test-all")
	}
}

// Root returns a root file system of [machine.CachedRoot], or skips the test where
// there is none. Under CI=true that is a failure.
func Root(t testing.TB, name, release string, recipe ...string) string {
	t.Helper()
	root, err := machine.CachedRoot(name, release, recipe, io.Discard)
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
	return root
}

// StartMachine makes a throw-away machine that ends with the test, or skips the
// test as [Require] does. What outlives the machine fails the test. Without
// options.Log, the test's own output is the log.
func StartMachine(t testing.TB, options machine.Options) *machine.Machine {
	t.Helper()
	Require(t)
	options.Log = cmp.Or(options.Log, t.Output())
	m, err := machine.Start(options)
	return lend(t, m, err)
}

// StartVM makes a virtual machine that ends with the test, in the same way.
func StartVM(t testing.TB, options vm.Options) *vm.VM {
	t.Helper()
	Require(t)
	options.Log = cmp.Or(options.Log, t.Output())
	v, err := vm.Start(options)
	return lend(t, v, err)
}

func lend[M io.Closer](t testing.TB, m M, err error) M {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// Machine is a [machine.Machine] or a [vm.VM].
type Machine interface {
	Run(script string) machine.Result
	WriteFile(name string, mode os.FileMode, content string) error
	ReadFile(name string) (string, error)
}

// Sh runs a script that has to succeed, and returns its output without the last
// newline.
func Sh(t testing.TB, m Machine, script string) string {
	t.Helper()
	result := m.Run(script)
	if err := result.Err(); err != nil {
		t.Fatalf("%s\n%v", script, err)
	}
	return strings.TrimSuffix(result.Stdout, "\n")
}

// Host is a machine as a test uses it: what goes wrong in a method ends the
// test T.
type Host struct {
	Machine
	T testing.TB
}

// Sh runs a script that has to succeed, and returns its output without the last
// newline.
func (h *Host) Sh(script string) string { h.T.Helper(); return Sh(h.T, h, script) }

// Poll is a script that runs another one until it succeeds, and prints the output
// of that. It gives up after minutes.
func Poll(script string) string {
	return "for i in $(seq 2000); do if out=$(" + script + "); then printf '%s\\n' \"$out\"; exit; fi; sleep 0.1; done; exit 1"
}

// Await runs [Poll] of a script, and returns the output without the last newline.
func (h *Host) Await(script string) string { h.T.Helper(); return h.Sh(Poll(script)) }

// Fails runs a script that has to fail, and returns what it printed as errors.
func (h *Host) Fails(script string) string {
	h.T.Helper()
	result := h.Run(script)
	if result.Code == 0 {
		h.T.Fatalf("%s\nsucceeded, and should not have:\n%s", script, result.Output)
	}
	return result.Stderr
}

// Write writes a file, executable if it is a script or a program.
func (h *Host) Write(name, content string) {
	h.T.Helper()
	mode := os.FileMode(0o644)
	if strings.HasPrefix(content, "#!") || strings.HasPrefix(content, "\x7fELF") {
		mode = 0o755
	}
	if err := h.WriteFile(name, mode, content); err != nil {
		h.T.Fatal(err)
	}
}

// Conf writes the conf.d file of a service.
func (h *Host) Conf(service string, lines ...string) {
	h.T.Helper()
	h.Write("/etc/conf.d/"+service, strings.Join(lines, "\n")+"\n")
}

// Read returns what is in a file of the host.
func Read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Equal asserts that what the test saw is what it wants.
func Equal(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}

// Contains asserts that a text has another in it.
func Contains(t testing.TB, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("missing %q in:\n%s", want, text)
	}
}

// Decode reads JSON that has no field which V does not know.
func Decode[V any](t testing.TB, text string) (v V) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return v
}

// Key is one of WireGuard's.
type Key [32]byte

// String is as wg(8) writes it.
func (k Key) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// Hex is as the userspace interface has it.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }

// Keys are those of one end of a tunnel.
type Keys struct{ Private, Public Key }

// NewKeys makes some.
func NewKeys() Keys {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return Keys{Key(key.Bytes()), Key(key.PublicKey().Bytes())}
}
