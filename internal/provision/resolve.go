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

// resolveEndpoints finds the addresses of the endpoints on the host's network.
// At a boot the resolver may not be there yet: where that may be the reason,
// and patient is set, it is asked as often as by wg(8).
func resolveEndpoints(host *namespace.Namespace, c *wgquick.Config, patient bool, tell func(string)) (map[wgquick.Key]netip.AddrPort, error) {
	endpoints := map[wgquick.Key]netip.AddrPort{}
	for _, peer := range c.Peers {
		if peer.Endpoint.Host == "" {
			continue
		}
		address, err := netip.ParseAddr(peer.Endpoint.Host)
		if err != nil {
			if address, err = resolve(host, peer.Endpoint.Host, patient, tell); err != nil {
				return nil, fmt.Errorf("%s: line %d: cannot resolve the Endpoint %q on the host's network: %w", c.Path, peer.Endpoint.Line, peer.Endpoint.Host, err)
			}
		}
		endpoints[peer.PublicKey] = netip.AddrPortFrom(address, peer.Endpoint.Port)
	}
	return endpoints, nil
}

func resolve(host *namespace.Namespace, name string, patient bool, tell func(string)) (netip.Addr, error) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = host.Do(func() error {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}}
	wait, retries := time.Second, 0
	if patient {
		retries = 15
		if number, err := strconv.Atoi(os.Getenv(retriesVariable)); err == nil && number >= 0 {
			retries = number
		}
	}
	for ; ; retries-- {
		addresses, err := resolver.LookupNetIP(context.Background(), "ip", name)
		if err == nil {
			return addresses[0].Unmap(), nil
		}
		var why *net.DNSError
		if !errors.As(err, &why) {
			return netip.Addr{}, err
		}
		err = errors.New(why.Err)
		if why.IsNotFound || retries <= 0 {
			return netip.Addr{}, err
		}
		tell(fmt.Sprintf("cannot resolve %q yet: %v", name, err))
		tell = func(string) {} // once is enough
		time.Sleep(wait)
		wait = min(wait*6/5, 20*time.Second)
	}
}
