package provision

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"openrc-netns/internal/wgquick"
)

// Settings are what conf.d says of a network namespace, in the words that stand
// there.
type Settings struct {
	Interfaces string // netns_interfaces
	WireGuard  string // netns_wireguard
	Veth       string // netns_veth
	DNS        string // netns_dns
	Sysctl     string // netns_sysctl
	// Config and Routes are the values of config_IFACE and routes_IFACE, by
	// IFACE: the name of an interface, with an underscore for what is no letter
	// and no digit.
	Config, Routes map[string]string
}

// The variables of Settings, but for those whose names depend on an interface.
const (
	InterfacesSetting = "netns_interfaces"
	WireGuardSetting  = "netns_wireguard"
	VethSetting       = "netns_veth"
	DNSSetting        = "netns_dns"
	SysctlSetting     = "netns_sysctl"
)

// What config_IFACE and routes_IFACE begin with.
const (
	ConfigPrefix = "config_"
	RoutesPrefix = "routes_"
)

// Mistake is one that a setting has.
type Mistake struct {
	Setting string // the name of the variable
	File    string // the one that it names, where the mistake is with that
	Err     error  // a *wgquick.Fault where it is in the file
}

// Spec makes the settings a Spec for the namespace called name, and reads the
// files that they name. The Spec is of use if there are no mistakes. The
// warnings are of the files.
func (s Settings) Spec(name string) (spec Spec, warnings wgquick.Faults, mistakes []Mistake) {
	spec = Spec{Name: name, Addresses: map[string][]netip.Prefix{}, Routes: map[string][]Route{}}
	check := func(setting string, err error) {
		if err != nil {
			mistakes = append(mistakes, Mistake{Setting: setting, Err: err})
		}
	}
	var err error
	spec.Interfaces, err = ParseInterfaces(s.Interfaces)
	check(InterfacesSetting, err)
	spec.Sysctls, err = ParseSysctls(s.Sysctl)
	check(SysctlSetting, err)
	spec.Veths, err = ParseVeths(s.Veth)
	check(VethSetting, err)
	paths, err := ParseFiles(s.WireGuard)
	check(WireGuardSetting, err)
	for _, path := range paths {
		config, err := wgquick.ReadFile(path)
		var faults wgquick.Faults
		switch {
		case errors.As(err, &faults):
			for _, fault := range faults {
				mistakes = append(mistakes, Mistake{WireGuardSetting, path, fault})
			}
		case err != nil:
			mistakes = append(mistakes, Mistake{WireGuardSetting, path, err})
		default:
			spec.WireGuard = append(spec.WireGuard, config)
			warnings = append(warnings, config.Warnings...)
		}
	}
	spec.DNS, err = ParseDNS(s.DNS)
	check(DNSSetting, err)
	if strings.TrimSpace(s.DNS) == "" {
		spec.DNS = dnsOf(spec.WireGuard)
	}
	if len(mistakes) > 0 {
		return spec, warnings, mistakes // of interfaces that are not known nothing can be said
	}
	check(spec.clash())
	names := spec.names()
	for _, iface := range slices.Sorted(maps.Keys(s.Config)) {
		name, err := findName(ConfigPrefix, iface, names)
		if err == nil {
			spec.Addresses[name], err = ParseAddresses(iface, s.Config[iface])
		}
		check(ConfigPrefix+iface, err)
	}
	for _, iface := range slices.Sorted(maps.Keys(s.Routes)) {
		name, err := findName(RoutesPrefix, iface, names)
		if err == nil {
			spec.Routes[name], err = ParseRoutes(iface, name, s.Routes[iface])
		}
		check(RoutesPrefix+iface, err)
	}
	if len(mistakes) == 0 {
		interfaces := spec.ready(both{}, spec.tunnels())
		sources := map[netip.Addr]bool{}
		for _, i := range interfaces {
			for _, a := range i.addresses {
				sources[a.Addr()] = true
			}
		}
		for _, i := range interfaces {
			check(RoutesPrefix+Variable(i.name), i.checkRoutes(sources))
		}
		check(spec.sameRoutes(interfaces))
	}
	return spec, warnings, mistakes
}

// Variable is what stands for the name of an interface in that of a shell
// variable.
func Variable(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}

// names are those of the interfaces that may have addresses: the ones inside,
// and the ends of veth pairs on the host's network.
func (s *Spec) names() (names []string) {
	for _, i := range s.Interfaces {
		names = append(names, i.Inside)
	}
	for _, c := range s.WireGuard {
		names = append(names, c.Name)
	}
	for _, v := range s.Veths {
		names = append(names, v.Host, v.Inside)
	}
	return names
}

// clash finds a name that is given twice, and the setting to change.
func (s *Spec) clash() (setting string, err error) {
	given := map[string]string{}
	for _, name := range s.names() {
		if other, twice := given[Variable(name)]; twice {
			setting = InterfacesSetting
			for _, c := range s.WireGuard {
				if c.Name == name {
					setting = WireGuardSetting
				}
			}
			for _, v := range s.Veths {
				if v.Host == name || v.Inside == name {
					setting = VethSetting
				}
			}
			if other == name {
				return setting, fmt.Errorf("two interfaces are called %q: give one of them another name", name)
			}
			return setting, fmt.Errorf("%s%s would be of both interfaces %q and %q: give one of them another name", ConfigPrefix, Variable(name), other, name)
		}
		given[Variable(name)] = name
	}
	for _, v := range s.Veths {
		if slices.ContainsFunc(s.Interfaces, func(i Interface) bool { return i.Name == v.Host }) {
			return VethSetting, fmt.Errorf("the host's interface %q is moved in, and could not return: give the veth pair another name", v.Host)
		}
	}
	return "", nil
}

// findName is the interface that a variable is of.
func findName(prefix, iface string, names []string) (string, error) {
	for _, name := range names {
		if Variable(name) == iface {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s%s: no interface is called that; name it in %s, %s or %s, or remove the setting", prefix, iface,
		InterfacesSetting, WireGuardSetting, VethSetting)
}

// tunnels are the interfaces of the files, of which the rest is not known yet.
func (s *Spec) tunnels() (tunnels []tunnel) {
	for _, c := range s.WireGuard {
		tunnels = append(tunnels, tunnel{Config: c})
	}
	return tunnels
}

// checkRoutes finds what the kernel would refuse: a gateway that is not on the
// link, and a source that is no address here.
func (i *ready) checkRoutes(sources map[netip.Addr]bool) error {
	onLink := networks{}
	for _, a := range i.addresses {
		onLink.add(a)
	}
	for _, r := range i.routes {
		if !r.Via.IsValid() {
			onLink.add(r.To)
		}
	}
	for _, r := range i.routes {
		switch {
		case r.Via.IsValid() && !r.OnLink && !r.Via.IsLinkLocalUnicast() && !onLink.contain(netip.PrefixFrom(r.Via, r.Via.BitLen())):
			return fmt.Errorf("%s%s: no address of interface %q has the gateway %s in its network: give it one in %s%s, or say onlink if the gateway is there all the same",
				RoutesPrefix, Variable(i.name), i.name, r.Via, ConfigPrefix, Variable(i.name))
		case r.Src.IsValid() && !sources[r.Src]:
			return fmt.Errorf("%s%s: the source %s is no address of an interface here: give it to one in its %sIFACE",
				RoutesPrefix, Variable(i.name), r.Src, ConfigPrefix)
		}
	}
	return nil
}

// sameRoutes finds two interfaces inside with one route, of which the second
// could not be made.
func (s *Spec) sameRoutes(interfaces []ready) (setting string, err error) {
	type key struct {
		to            netip.Prefix
		table, metric uint32
	}
	type way struct {
		name string
		via  netip.Addr
	}
	made := map[key]way{}
	for _, i := range interfaces {
		if slices.ContainsFunc(s.Veths, func(v Veth) bool { return v.Host == i.name }) {
			continue
		}
		for _, r := range i.routes {
			k := key{r.To, r.Table, r.Metric}
			if k.table == 254 { // RT_TABLE_MAIN of linux/rtnetlink.h
				k.table = 0
			}
			other, twice := made[k]
			if !twice {
				made[k] = way{i.name, r.Via}
			}
			if !twice || other == (way{i.name, r.Via}) {
				continue
			}
			setting = RoutesPrefix + Variable(i.name)
			for _, c := range s.WireGuard {
				if c.Name == i.name && !slices.Contains(s.Routes[i.name], r) {
					setting = WireGuardSetting
				}
			}
			return setting, fmt.Errorf("two routes lead to %s, through interface %q and through %q: remove one, or give it another metric or table", r.To, other.name, i.name)
		}
	}
	return "", nil
}
