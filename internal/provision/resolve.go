package provision

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"openrc-netns/internal/namespace"
	"openrc-netns/internal/wgquick"
)

// retriesVariable says how often wg(8) asks again; it waits a second after the
// first time, and a fifth more after each.
const retriesVariable = "WG_ENDPOINT_RESOLUTION_RETRIES"

// resolveEndpoints finds the addresses of the endpoints on the host's network,
// and the indices there of the interfaces that some of them have for a zone.
// At a boot the resolver may not be there yet: where that may be the reason,
// and patient is set, it is asked as often as by wg(8).
func resolveEndpoints(host *namespace.Namespace, c *wgquick.Config, patient bool, tell func(string)) (endpoints map[wgquick.Key]netip.AddrPort, zones map[string]int, err error) {
	endpoints, zones = map[wgquick.Key]netip.AddrPort{}, map[string]int{}
	names := newLookups(host, patient, tell)
	for _, peer := range c.Peers {
		e := peer.Endpoint
		if e.Host == "" {
			continue
		}
		address, err := netip.ParseAddr(e.Host)
		if err != nil {
			if address, err = names.resolve(e.Host); err != nil {
				return nil, nil, fmt.Errorf("%s: line %d: cannot resolve the Endpoint %q on the host's network: %w", c.Path, e.Line, e.Host, err)
			}
		}
		if zone := address.Zone(); zone != "" && zones[zone] == 0 {
			link, err := find(host, zone)
			if err != nil {
				return nil, nil, err
			}
			if link == nil {
				return nil, nil, fmt.Errorf("%s: line %d: the zone %q of the Endpoint is no interface on the host's network; give the name of the one that leads there", c.Path, e.Line, zone)
			}
			zones[zone] = link.Index
		}
		endpoints[peer.PublicKey] = netip.AddrPortFrom(address, e.Port)
	}
	return endpoints, zones, nil
}

// lookups are for the names of one file. They come from whoever wrote that,
// and so may the answers: a name is asked for once, and all of them together
// are waited for no longer than one may be.
type lookups struct {
	lookup   func(ctx context.Context, name string) ([]netip.Addr, error)
	known    map[string]netip.Addr
	patience time.Duration // for answers
	retries  int
	pause    time.Duration // before the next one
	tell     func(string)
}

func newLookups(host *namespace.Namespace, patient bool, tell func(string)) *lookups {
	r := &lookups{known: map[string]netip.Addr{}, patience: 5 * time.Minute, pause: time.Second, tell: tell}
	if patient {
		r.retries = 15
		if number, err := strconv.Atoi(os.Getenv(retriesVariable)); err == nil && number >= 0 {
			r.retries = number
		}
	}
	dns := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = host.Do(func() error {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}}
	r.lookup = func(ctx context.Context, name string) ([]netip.Addr, error) { return dns.LookupNetIP(ctx, "ip", name) }
	return r
}

func (r *lookups) resolve(name string) (netip.Addr, error) {
	if address, found := r.known[name]; found {
		return address, nil
	}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), r.patience)
		begin := time.Now()
		addresses, err := r.lookup(ctx, name)
		cancel()
		r.patience -= time.Since(begin)
		if err == nil {
			r.known[name] = addresses[0].Unmap()
			return r.known[name], nil
		}
		var why *net.DNSError
		if !errors.As(err, &why) {
			return netip.Addr{}, err
		}
		err = errors.New(why.Err)
		if why.IsNotFound || r.retries <= 0 || r.patience <= 0 {
			return netip.Addr{}, err
		}
		r.retries--
		r.tell(fmt.Sprintf("cannot resolve %q yet: %v", name, err))
		r.tell = func(string) {} // once is enough
		time.Sleep(r.pause)
		r.pause = min(r.pause*6/5, 20*time.Second)
	}
}
