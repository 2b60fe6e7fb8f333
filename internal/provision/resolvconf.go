package provision

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/wgquick"
)

// DNS is whom to ask for names inside, in order, and where to look for short
// ones.
type DNS struct {
	Servers []netip.Addr
	Search  []string
}

// IsZero reports whether nothing is said.
func (d DNS) IsZero() bool { return len(d.Servers) == 0 && len(d.Search) == 0 }

// ParseDNS reads a list of addresses of name servers, and of domains to search,
// with blanks between them.
func ParseDNS(list string) (DNS, error) {
	var dns DNS
	for _, word := range strings.Fields(list) {
		server, domain, err := wgquick.ParseDNS(word)
		switch {
		case err != nil:
			return DNS{}, fmt.Errorf("bad DNS %q: give the address of a name server, or a domain to search", word)
		case domain != "":
			dns.Search = append(dns.Search, domain)
		default:
			dns.Servers = append(dns.Servers, server)
		}
	}
	return dns, nil
}

// dnsOf is what the files of wg-quick say.
func dnsOf(configs []*wgquick.Config) (dns DNS) {
	for _, c := range configs {
		dns.Servers = append(dns.Servers, c.DNS...)
		dns.Search = append(dns.Search, c.Search...)
	}
	return DNS{once(dns.Servers), once(dns.Search)}
}

// once leaves out what a list has had: few programs look at more than three.
func once[T comparable](list []T) []T {
	had := map[T]bool{}
	return slices.DeleteFunc(list, func(t T) bool {
		again := had[t]
		had[t] = true
		return again
	})
}

// file is the resolv.conf(5) of a namespace.
func (d DNS) file(name string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "# Of network namespace %q, made by its service. To have another one, make %s.\n",
		name, filepath.Join(mounts.EtcDir, name, "resolv.conf"))
	for _, server := range d.Servers {
		fmt.Fprintf(&text, "nameserver %s\n", server)
	}
	if len(d.Search) > 0 {
		fmt.Fprintf(&text, "search %s\n", strings.Join(d.Search, " "))
	}
	return text.String()
}

// writeResolvConf makes the file, for mounts.EtcBinds to find, or sees to it
// that there is none.
func (j *journal) writeResolvConf(dns DNS) error {
	if dns.IsZero() {
		return removeResolvConf(j.name())
	}
	if !j.has(resolver) {
		if err := j.note(resolver); err != nil {
			return err
		}
	}
	path, text := mounts.ResolvConf(j.name()), []byte(dns.file(j.name()))
	if old, err := files.Read(path); err == nil && bytes.Equal(old, text) {
		return nil // and who has it bound over another one still has the one that counts
	}
	err := files.Replace(path, text, 0o644)
	if err == nil {
		err = os.Chmod(path, 0o644) // everybody is to read it, whatever the umask
	}
	if err != nil {
		return fmt.Errorf("write the resolv.conf of the namespace: %w", err)
	}
	return nil
}

func removeResolvConf(name string) error {
	path := mounts.ResolvConf(name)
	for _, path := range []string{path, filepath.Join(filepath.Dir(path), ".resolv.conf.new")} { // a crash leaves the second
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the resolv.conf of the namespace: %w", err)
		}
	}
	return nil
}
