// SPDX-License-Identifier: LGPL-2.1-or-later
//! Network interfaces: the loopback always, and qemu's user network if the caller wants one.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::error::{About, Result};
use crate::system;
use crate::tool::Tool;
use crate::view::RESOLV_CONF;

/// Addresses of the network that the library tells qemu to make.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 2, 15);
const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 0, 0);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 2, 2);
const NAMESERVER: Ipv4Addr = Ipv4Addr::new(169, 254, 2, 3);

mod ioctl {
    use nix::{ioctl_read_bad, ioctl_write_ptr_bad};

    ioctl_read_bad!(get_flags, libc::SIOCGIFFLAGS, libc::ifreq);
    ioctl_write_ptr_bad!(set_flags, libc::SIOCSIFFLAGS, libc::ifreq);
    ioctl_write_ptr_bad!(set_address, libc::SIOCSIFADDR, libc::ifreq);
    ioctl_write_ptr_bad!(set_netmask, libc::SIOCSIFNETMASK, libc::ifreq);
    ioctl_write_ptr_bad!(add_route, libc::SIOCADDRT, libc::rtentry);
}

/// Programs talk to themselves.
pub(super) fn loopback_up() -> Result<()> {
    Interface::open("lo")?.up()
}

/// Configures the interface without asking a DHCP server: the answers are known.
pub(super) fn configure() -> Result<()> {
    // There is no udev that would do this when the device is found.
    Tool::new("modprobe").arg("virtio_net").run()?;
    let interface = Interface::open("eth0")?;
    interface.set_address(ADDRESS, NETMASK)?;
    interface.up()?;
    interface.set_gateway(GATEWAY)?;
    system::write(RESOLV_CONF, format!("nameserver {NAMESERVER}\n").as_bytes())
}

struct Interface {
    name: &'static str,
    socket: OwnedFd,
}

impl Interface {
    fn open(name: &'static str) -> Result<Self> {
        let (family, kind) = (AddressFamily::Inet, SockType::Datagram);
        let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).about(name)?;
        Ok(Self { name, socket })
    }

    fn request(&self, value: libc::__c_anonymous_ifr_ifru) -> libc::ifreq {
        let mut name = [0; libc::IFNAMSIZ];
        for (to, from) in name.iter_mut().zip(self.name.bytes()) {
            *to = from as libc::c_char;
        }
        libc::ifreq { ifr_name: name, ifr_ifru: value }
    }

    #[expect(unsafe_code, reason = "interfaces are configured by ioctls")]
    fn up(&self) -> Result<()> {
        let fd = self.socket.as_raw_fd();
        let mut request = self.request(libc::__c_anonymous_ifr_ifru { ifru_flags: 0 });
        // SAFETY: the requests read and write one `ifreq` with the name of an interface, and
        // the kernel fills in the flags before they are read.
        unsafe {
            ioctl::get_flags(fd, &mut request).about(self.name)?;
            request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
            ioctl::set_flags(fd, &request).about(self.name)?;
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "interfaces are configured by ioctls")]
    fn set_address(&self, address: Ipv4Addr, netmask: Ipv4Addr) -> Result<()> {
        let request =
            |address| self.request(libc::__c_anonymous_ifr_ifru { ifru_addr: sockaddr(address) });
        let fd = self.socket.as_raw_fd();
        // SAFETY: the requests read one `ifreq` with the name of an interface and an address.
        unsafe {
            ioctl::set_address(fd, &request(address)).about(self.name)?;
            ioctl::set_netmask(fd, &request(netmask)).about(self.name)?;
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "routes are made by ioctls")]
    fn set_gateway(&self, gateway: Ipv4Addr) -> Result<()> {
        // SAFETY: an `rtentry` of zeroes is one with nothing set: numbers and a null pointer.
        let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
        route.rt_dst = sockaddr(Ipv4Addr::UNSPECIFIED);
        route.rt_genmask = sockaddr(Ipv4Addr::UNSPECIFIED);
        route.rt_gateway = sockaddr(gateway);
        route.rt_flags = (libc::RTF_UP | libc::RTF_GATEWAY) as libc::c_ushort;
        // SAFETY: the request reads one `rtentry`, whose device is not named.
        unsafe { ioctl::add_route(self.socket.as_raw_fd(), &route).about(gateway)? };
        Ok(())
    }
}

/// A `sockaddr_in` in the form of a `sockaddr`: the port and then the address.
fn sockaddr(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data[2..6].iter_mut().zip(address.octets()) {
        *to = from as libc::c_char;
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data }
}
