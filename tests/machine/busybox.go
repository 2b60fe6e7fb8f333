package machine

import (
	_ "embed"
	"strings"
)

//go:embed testdata/sleeper.c
var sleeperSource string

// busyboxRecipe is how the root of [Options.Alone] is made: one as Alpine's,
// with the files of sid's packages. OpenRC and busybox are Debian's binaries,
// with glibc beside them. There is no package of busybox against musl, and to
// compile one takes longer than a table on a slow machine. (Nor is it
// busybox-static: its shell takes its own commands before those in PATH, so
// OpenRC's start-stop-daemon would not be used.) What stands for the daemons of
// users is compiled against musl.
var busyboxRecipe = []string{
	"--variant=custom",
	`--aptopt=Acquire::Check-Valid-Until "false"`,
	"--customize-hook=" + busyboxHook,
}

// busyboxHook is run in a root that has nothing, as $1.
var busyboxHook = strings.NewReplacer("@TOOLS@", strings.Join(testTools, " "), "@SOURCE@", sleeperSource).Replace(`set -e; cd "$1"
# musl-dev depends on a compiler that is twenty times as large as tcc.
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
mkdir debs
apt-get --yes --no-install-recommends --download-only -o Dir::Cache::archives="$PWD/debs/" install \
	bsdutils busybox iproute2 mount openrc procps strace tar tcc util-linux
(cd debs && apt-get download musl-dev)
for deb in debs/*.deb; do
	dpkg -x "$deb" debian
done
rm -r debs

mkdir -p bin dev etc home lib lib64 mnt opt/tests proc root run sbin srv sys tmp usr/bin usr/lib usr/libexec usr/sbin var/log var/tmp
chmod 700 root; chmod 1777 tmp var/tmp; ln -s /run var; ln -s /run/lock var
gnu=$(cd debian/usr/lib && echo *-linux-gnu)
cp -a debian/usr/lib/$gnu usr/lib
for loader in debian/lib*/ld-linux* debian/usr/lib*/ld-linux*; do
	[ ! -L "$loader" ] || ln -s ../usr/lib/$gnu/${loader##*/} "$(basename "${loader%/*}")"
done
mv debian/usr/bin/busybox bin
chroot . /bin/busybox --install -s

# OpenRC's programs look in /usr/lib/rc, its shell files as Alpine's do.
mv debian/usr/lib/rc usr/libexec
ln -s ../libexec/rc usr/lib/rc
mv debian/usr/sbin/openrc* debian/usr/sbin/supervise-daemon debian/usr/bin/rc-* sbin
cp -a debian/etc/init.d debian/etc/conf.d debian/etc/rc.conf debian/etc/insserv* etc # the last for a patch of Debian's
rm etc/init.d/procps # wants what sysvinit would bring
mkdir -p etc/runlevels/sysinit etc/runlevels/boot etc/runlevels/default etc/runlevels/shutdown
sed -i s,/usr/lib/rc,/usr/libexec/rc,g usr/libexec/rc/sh/*.sh etc/init.d/*

for line in root:x:0:0:root:/root:/bin/sh daemon:x:2:2:daemon:/sbin:/sbin/nologin nobody:x:65534:65534:nobody:/:/sbin/nologin; do
	echo "$line"
done >etc/passwd
for line in root:x:0: daemon:x:2: nogroup:x:65533: nobody:x:65534:; do
	echo "$line"
done >etc/group

# Debian's OpenRC asks PAM where it starts a daemon as another user.
mkdir etc/pam.d
for kind in account auth session; do
	echo "$kind required pam_permit.so"
done >etc/pam.d/other

for tool in @TOOLS@; do
	for dir in bin sbin; do
		[ ! -f debian/usr/$dir/$tool ] || mv debian/usr/$dir/$tool opt/tests
	done
done

cat >debian/sleeper.c <<'end'
@SOURCE@
end
mkdir -p usr/local/bin
musl=$(echo debian/usr/lib/*-linux-musl) tcc=debian/usr/lib/$gnu/tcc
$(echo lib*/ld-linux*) --library-path usr/lib/$gnu debian/usr/bin/tcc -nostdinc -nostdlib -static -B$tcc \
	-Idebian/usr/include/${musl##*/} -o usr/local/bin/sleeper \
	$musl/crt1.o $musl/crti.o debian/sleeper.c $musl/libc.a $tcc/libtcc1.a $musl/crtn.o
ln usr/local/bin/sleeper usr/local/bin/resolver
rm -rf debian
`)

// testTools are programs of the tests on such a machine. They are in no PATH:
// scripts of [Machine.Run] have functions of these names, and what they start,
// services above all, has only busybox.
var testTools = []string{"ip", "pgrep", "ps", "script", "setpriv", "strace", "tar", "umount"}

const testToolsDir = "/opt/tests/"

// testFunctions is the beginning of each script there.
func testFunctions() string {
	var functions strings.Builder
	for _, tool := range testTools {
		functions.WriteString(tool + "() { " + testToolsDir + tool + ` "$@"; }` + "\n")
	}
	return functions.String()
}
