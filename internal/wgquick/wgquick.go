// Package wgquick reads the files of wg-quick(8): a WireGuard interface with
// its peers, addresses, routes and name servers.
//
// What wg-quick and wg(8) take is taken, and means the same. What they would
// run or write, PostUp and the like, is refused, and so is what they would not
// understand: with the file, the line and what to write instead. No key is ever
// part of an error.
package wgquick

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"openrc-netns/internal/files"
)

// What is more than any file has that somebody means to use: a file may come
// from anywhere, and must not decide what it costs to read it.
const (
	MaxSize      = 1 << 20 // of a file, in bytes
	MaxLine      = 1 << 18 // of a line, in bytes
	MaxAddresses = 1000    // of the interface: for each the kernel looks at all before it
	MaxFaults    = 20      // that are told
)

// Config is what a file says.
type Config struct {
	// Path is the file, Name the interface: that of the file without ".conf".
	Path, Name string

	PrivateKey Key
	// ListenPort is a UDP port; 0 leaves the choice to the kernel.
	ListenPort uint16
	// Mark is put on the encrypted packets (FwMark); 0 means none.
	Mark uint32
	// Addresses are those of the interface, with the length of their networks.
	Addresses []netip.Prefix
	// MTU is in bytes; 0 if the file does not say.
	MTU int
	// DNS are name servers, Search the domains to look names up in.
	DNS    []netip.Addr
	Search []string
	Table  Table
	Peers  []Peer

	// Warnings are what wg-quick warns of too, or lets pass though it has no
	// effect.
	Warnings Faults
}

// Table says into which routing table the routes go. The zero Table is "auto".
type Table struct {
	Off    bool   // no routes are made
	Number uint32 // 0 is the main table, and only what it lacks
}

// Peer is one of the others.
type Peer struct {
	PublicKey Key
	// PresharedKey is all zeros where there is none.
	PresharedKey Key
	// Endpoint is where it is reached; the zero Endpoint if it calls first.
	Endpoint   Endpoint
	AllowedIPs []netip.Prefix
	// Keepalive is in whole seconds; 0 means none.
	Keepalive time.Duration
	// Line is where it begins, counted from 1.
	Line int
}

// Endpoint is a host, by its address or by a name that is not resolved yet, and
// a UDP port.
type Endpoint struct {
	Host string // an address of fe80::/10 may have the name of an interface behind a percent sign
	Port uint16
	Line int
}

// Key is a key of Curve25519, or a preshared one. It does not print.
type Key [32]byte

// String hides the key.
func (Key) String() string { return "(key)" }

// GoString hides the key.
func (Key) GoString() string { return "(key)" }

// Fault is one thing that is wrong with a file.
type Fault struct {
	Path    string
	Line    int    // counted from 1; 0 where the file as a whole is meant
	Problem string // lower case, no full stop; so is the remedy
	Remedy  string
}

// Error gives all of it on one line: the path, the line, the problem, the
// remedy.
func (f *Fault) Error() string {
	at := f.Path
	if f.Line > 0 {
		at += fmt.Sprintf(": line %d", f.Line)
	}
	return at + ": " + f.Problem + "; " + f.Remedy
}

// Faults are what is wrong with a file, in the order of their lines: the first
// MaxFaults, and one that says that there are more. Nothing in them is from the
// file but in quotes, and that without a character that cannot be printed.
type Faults []*Fault

// add keeps no more than one too many, for limited to see.
func (f *Faults) add(fault *Fault) {
	if len(*f) <= MaxFaults {
		*f = append(*f, fault)
	}
}

// limited are the faults in order, the one too many replaced.
func (f Faults) limited() Faults {
	slices.SortStableFunc(f, func(a, b *Fault) int { return a.Line - b.Line })
	if len(f) > MaxFaults {
		last := f[MaxFaults]
		f[MaxFaults] = &Fault{last.Path, last.Line, "there are more mistakes from here on", "correct those above first"}
	}
	return f
}

// Error gives a line for each.
func (f Faults) Error() string {
	var lines []string
	for _, fault := range f {
		lines = append(lines, fault.Error())
	}
	return strings.Join(lines, "\n")
}

// InterfaceName is the interface that wg-quick would make of the file at path:
// its name without ".conf".
func InterfaceName(path string) (string, error) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=+.-"
	name, found := strings.CutSuffix(filepath.Base(path), ".conf")
	switch {
	case !found || strings.HasSuffix(path, "/") || name == "" || len(name) > 15 || strings.Trim(name, letters) != "" || name == "." || name == ".." || name == "lo":
		return "", fmt.Errorf("bad WireGuard file %q: call it like the interface, with .conf behind that, as /etc/wireguard/wg0.conf is", path)
	case !filepath.IsAbs(path):
		return "", fmt.Errorf("bad WireGuard file %q: give an absolute path, such as /etc/wireguard/%s.conf", path, name)
	}
	return name, nil
}

// ReadFile reads the file at path. The error is Faults where the file can be
// read and what is in it cannot be used. It never blocks on a FIFO.
func ReadFile(path string) (*Config, error) {
	name, err := InterfaceName(path)
	if err != nil {
		return nil, err
	}
	f, err := files.OpenRegular(path)
	if err != nil {
		return nil, fmt.Errorf("read WireGuard file: %w", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read WireGuard file: %w", err)
	}
	if len(src) > MaxSize {
		return nil, fmt.Errorf("read WireGuard file: %q is larger than %d bytes", path, MaxSize)
	}
	config, err := Parse(path, src)
	if err != nil {
		return nil, err
	}
	config.Name = name
	if worldAccessible(f, path) {
		config.Warnings = append(config.Warnings, &Fault{path, 0, "everybody can read it, and the keys in it", "fix it with: chmod 600 " + path})
	}
	return config, nil
}

// worldAccessible finds out what wg-quick warns of.
func worldAccessible(f *os.File, path string) bool {
	file, err := f.Stat()
	if err != nil {
		return false
	}
	dir, err := os.Stat(filepath.Dir(path))
	return err == nil && file.Mode().Perm()&dir.Mode().Perm()&0o007 != 0
}

// Parse reads src, the text of the file at path. The error is Faults.
func Parse(path string, src []byte) (*Config, error) {
	p := parser{config: &Config{Path: path}, path: path, given: map[string]int{}, owners: map[netip.Prefix]int{}}
	text := strings.TrimPrefix(string(src), "\ufeff") // some editors begin a file with it
	for line := range strings.Lines(text) {
		p.number++
		if p.line(line); len(p.faults) > MaxFaults {
			break
		}
	}
	p.end()
	if len(p.faults) > 0 {
		return nil, p.faults.limited()
	}
	p.config.Warnings = p.config.Warnings.limited()
	return p.config, nil
}

// errBadKey says nothing of the key.
var errBadKey = errors.New("not 32 bytes in base64")

func parseKey(text string) (key Key, err error) {
	bytes, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(bytes) != len(key) {
		return key, errBadKey
	}
	return Key(bytes), nil
}
