package finding

import "strings"

// ID says what was found. Its name never changes its meaning; behind a slash it
// has a case, for which people need other words.
type ID string

// Name is the ID without its case.
func (id ID) Name() string {
	name, _, _ := strings.Cut(string(id), "/")
	return name
}

// These are arguments that say something without a value too.
type (
	Place string // a setting of netns; empty means the host's network
	VRF   string // its name; empty if that is not known
)

// What is wrong with running services. Behind each finding are its arguments.
const (
	ProcessesOutside ID = "processes-outside" // the processes, all in one network namespace; one of them
	NeverEntered     ID = "never-entered"     // the Place that the service belongs in
	SettingsChanged  ID = "settings-changed"  // the Place that it was started in, and the one that it belongs in
	NotBound         ID = "not-bound"
	NoProgram        ID = "no-program"    // the cgroup
	LeftCgroup       ID = "left-cgroup"   // the processes, the cgroup
	VRFGone          ID = "vrf-gone"      // the VRF
	VRFRecreated     ID = "vrf-recreated" // the VRF
	VRFChanged       ID = "vrf-changed"   // the VRF that sockets are bound to, and that of the settings
	VRFUnset         ID = "vrf-unset"
	SocketsUnbound   ID = "sockets-unbound" // the sockets, the VRF
	NotLocked        ID = "not-locked"
	StillLocked      ID = "still-locked"
	EtcHost          ID = "etc-host"           // the file in /etc, that in /etc/netns
	EtcReplaced      ID = "etc-replaced"       // the same
	EtcUnbound       ID = "etc-unbound"        // the same
	NameDeleted      ID = "name-deleted"       // the name
	NameDeletedAlive ID = "name-deleted/alive" // the name
	NameReused       ID = "name-reused"        // the name
	NotOnRecord      ID = "not-on-record"
)

// What is wrong with the network namespace of a setting.
const (
	NamespaceMissing        ID = "namespace-missing"         // the setting
	NamespaceMissingNear    ID = "namespace-missing/near"    // the setting, a name like it
	NamespaceMissingCreator ID = "namespace-missing/creator" // the setting, the service that creates it
	NamespaceMissingPath    ID = "namespace-missing/path"    // the setting
	NamespaceStale          ID = "namespace-stale"           // the setting, the file
	NamespaceOther          ID = "namespace-other"           // the problem
	NamespaceOtherPath      ID = "namespace-other/path"      // the problem
	NamespaceHost           ID = "namespace-host"            // the setting
	NamespaceHostPath       ID = "namespace-host/path"       // the setting
	NamespaceBadName        ID = "namespace-bad-name"        // the error
	NamespaceWaits          ID = "namespace-waits"           // the service that makes it
	NamespaceBadNameMaker   ID = "namespace-bad-name/maker"  // the error
)

// What is wrong with OpenRC, or with what of ours is installed.
const (
	DropinMissing         ID = "dropin-missing"
	DropinUnreadable      ID = "dropin-unreadable" // the error
	DropinUnreadableUsers ID = "dropin-unreadable/users"
	DropinVersion         ID = "dropin-version"
	HookMissing           ID = "hook-missing"               // the program
	HookMissingVersion    ID = "hook-missing/version"       // the program
	LibraryMissing        ID = "library-missing"            // the file
	LibraryMissingUnread  ID = "library-missing/unreadable" // the file, the error
	LibraryMissingVersion ID = "library-missing/version"    // the file
	OpenRCUnsupported     ID = "openrc-unsupported"
	UserDropinMissing     ID = "user-dropin-missing"
	LSBDropinMissing      ID = "lsb-dropin-missing"
	OpenRCInNamespace     ID = "openrc-in-namespace" // the network namespace
)

// What is wrong with settings.
const (
	SettingGlobal           ID = "setting-global"          // its name
	SettingUnknown          ID = "setting-unknown"         // its name, that of a setting
	SettingUnknownLine      ID = "setting-unknown/line"    // the line, that of a setting
	SettingUnreached        ID = "setting-unreached"       // its name
	SettingUnreachedValue   ID = "setting-unreached/value" // its name, the value that it has
	SettingUnreachedFile    ID = "setting-unreached/file"  // its name, the file that OpenRC reads
	SettingsUnread          ID = "settings-unread"
	SettingBad              ID = "setting-bad"               // the error
	SettingBadKeep          ID = "setting-bad/keep"          // the error
	SettingMisplaced        ID = "setting-misplaced"         // its name
	SettingMisplacedPublish ID = "setting-misplaced/publish" // its name
	SettingMisplacedGlobal  ID = "setting-misplaced/global"  // its name
	SettingsUnreadable      ID = "settings-unreadable"       // the reason
	SettingsFail            ID = "settings-fail"             // what the shell says
	SettingsConflict        ID = "settings-conflict"         // the name of the setting
	InterfaceBad            ID = "interface-bad"             // the error
	SysctlBad               ID = "sysctl-bad"                // the error
	VethBad                 ID = "veth-bad"                  // the error
	DNSBad                  ID = "dns-bad"                   // the error
	WireGuardBad            ID = "wireguard-bad"             // the error
	WireGuardFile           ID = "wireguard-file"            // the problem, what to write
	WireGuardNoFile         ID = "wireguard-file/none"       // the error
	WireGuardReadable       ID = "wireguard-readable"        // the problem
	WireGuardPeers          ID = "wireguard-peers"           // the problem, what to write
	WireGuardMissing        ID = "wireguard-missing"         // the problem, what to do
	AddressBad              ID = "address-bad"               // the problem, what to write
	RouteBad                ID = "route-bad"                 // the problem, what to write
	InterfaceClash          ID = "interface-clash"           // the problem, what to write
	PublishBad              ID = "publish-bad"               // the error
	PublishNothing          ID = "publish-bad/none"          // the network namespace
	PublishTaken            ID = "publish-taken"             // the address, the other service
	PublishUnserved         ID = "publish-unserved"          // the service
	HideMissing             ID = "hide-missing"              // the error
	HideRelative            ID = "hide-relative"             // the error
)

// What is wrong with init scripts and supervisors.
const (
	ScriptMissing            ID = "script-missing"      // the service, the script
	ScriptMissingNear        ID = "script-missing/near" // the same, a service of a name like it
	ScriptMissingLink        ID = "script-missing/link" // as ScriptMissing
	ScriptNotExecutable      ID = "script-not-executable"
	ScriptNotExecutableLater ID = "script-not-executable/later"
	ScriptNotExecutableMaker ID = "script-not-executable/maker" // the service that needs it
	ScriptNoHeader           ID = "script-no-header"
	ScriptBypassesOpenRC     ID = "script-bypasses-openrc" // its first line
	ScriptEnters             ID = "script-enters"          // what it enters with
	ScriptEntersLocked       ID = "script-enters/locked"   // the same
	PidfileShared            ID = "pidfile-shared"         // the pidfile, the other service
	ServiceByName            ID = "service-by-name"        // the other service, this one
	ServiceByNameOwn         ID = "service-by-name/own"    // the same
	SupervisorRunit          ID = "supervisor-runit"       // what a start says
	SupervisorS6             ID = "supervisor-s6"          // what a start says
)

// What else keeps a service from being where it belongs, or as it was meant
// there.
const (
	EtcUnreadable        ID = "etc-unreadable"              // the error
	EtcSource            ID = "etc-source"                  // the problem
	EtcKind              ID = "etc-kind"                    // the problem
	EtcTargetMissing     ID = "etc-target-missing"          // the problem, the file in /etc/netns
	EtcTargetMissingMade ID = "etc-target-missing/made"     // the same
	EtcTargetUnusable    ID = "etc-target-missing/unusable" // the problem
	VRFMissing           ID = "vrf-missing"                 // the error
	VRFOther             ID = "vrf-other"                   // the error
	VRFOtherAlone        ID = "vrf-other/alone"             // the error
	VRFBadName           ID = "vrf-bad-name"                // the error
	VRFBadNameAlone      ID = "vrf-bad-name/alone"          // the error
	Kernel               ID = "kernel"                      // the error
	StartFails           ID = "start-fails"                 // the error
	StartWarns           ID = "start-warns"                 // the warning
	ResolverSocket       ID = "resolver-socket"             // the daemon
	ResolverLoopback     ID = "resolver-loopback"           // the address
	ResolverLoopbackPath ID = "resolver-loopback/path"      // the address
)

// What could not be checked.
const (
	UncheckedStart      ID = "unchecked-start"
	UncheckedVRF        ID = "unchecked-vrf"       // the VRF
	UncheckedVRFLater   ID = "unchecked-vrf/later" // the VRF, the service that makes its network namespace
	UncheckedDropin     ID = "unchecked-dropin"    // the file
	UncheckedFile       ID = "unchecked-file"      // the file
	UncheckedError      ID = "unchecked-error"     // the error
	UncheckedSupport    ID = "unchecked-support"   // the error
	UncheckedWireGuard  ID = "unchecked-wireguard"
	UncheckedScript     ID = "unchecked-script"     // the script, the error
	UncheckedSupervisor ID = "unchecked-supervisor" // the supervisor, the error
)
