// SPDX-License-Identifier: LGPL-2.1-or-later
//! Names of errnos: numbers differ between systems, so names cross the wire.

/// The name of an errno of this system, such as `ENOENT`; empty for 0 and for numbers without one.
pub fn name(errno: i32) -> &'static str {
    NAMES.iter().find(|(number, _)| *number == errno).map_or("", |(_, name)| name)
}

/// The errno of that name on this system.
pub fn number(name: &str) -> Option<i32> {
    NAMES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

/// The first name of a number is the one that is sent.
const NAMES: &[(i32, &str)] = &[
    (libc::E2BIG, "E2BIG"),
    (libc::EACCES, "EACCES"),
    (libc::EADDRINUSE, "EADDRINUSE"),
    (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (libc::EADV, "EADV"),
    (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::EALREADY, "EALREADY"),
    (libc::EBADE, "EBADE"),
    (libc::EBADF, "EBADF"),
    (libc::EBADFD, "EBADFD"),
    (libc::EBADMSG, "EBADMSG"),
    (libc::EBADR, "EBADR"),
    (libc::EBADRQC, "EBADRQC"),
    (libc::EBADSLT, "EBADSLT"),
    (libc::EBFONT, "EBFONT"),
    (libc::EBUSY, "EBUSY"),
    (libc::ECANCELED, "ECANCELED"),
    (libc::ECHILD, "ECHILD"),
    (libc::ECHRNG, "ECHRNG"),
    (libc::ECOMM, "ECOMM"),
    (libc::ECONNABORTED, "ECONNABORTED"),
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::ECONNRESET, "ECONNRESET"),
    (libc::EDEADLOCK, "EDEADLOCK"),
    (libc::EDESTADDRREQ, "EDESTADDRREQ"),
    (libc::EDOM, "EDOM"),
    (libc::EDOTDOT, "EDOTDOT"),
    (libc::EDQUOT, "EDQUOT"),
    (libc::EEXIST, "EEXIST"),
    (libc::EFAULT, "EFAULT"),
    (libc::EFBIG, "EFBIG"),
    (libc::EHOSTDOWN, "EHOSTDOWN"),
    (libc::EHOSTUNREACH, "EHOSTUNREACH"),
    (libc::EIDRM, "EIDRM"),
    (libc::EILSEQ, "EILSEQ"),
    (libc::EINPROGRESS, "EINPROGRESS"),
    (libc::EINTR, "EINTR"),
    (libc::EINVAL, "EINVAL"),
    (libc::EIO, "EIO"),
    (libc::EISCONN, "EISCONN"),
    (libc::EISDIR, "EISDIR"),
    (libc::EISNAM, "EISNAM"),
    (libc::EKEYEXPIRED, "EKEYEXPIRED"),
    (libc::EKEYREJECTED, "EKEYREJECTED"),
    (libc::EKEYREVOKED, "EKEYREVOKED"),
    (libc::EL2HLT, "EL2HLT"),
    (libc::EL2NSYNC, "EL2NSYNC"),
    (libc::EL3HLT, "EL3HLT"),
    (libc::EL3RST, "EL3RST"),
    (libc::ELIBACC, "ELIBACC"),
    (libc::ELIBBAD, "ELIBBAD"),
    (libc::ELIBEXEC, "ELIBEXEC"),
    (libc::ELIBMAX, "ELIBMAX"),
    (libc::ELIBSCN, "ELIBSCN"),
    (libc::ELNRNG, "ELNRNG"),
    (libc::ELOOP, "ELOOP"),
    (libc::EMEDIUMTYPE, "EMEDIUMTYPE"),
    (libc::EMFILE, "EMFILE"),
    (libc::EMLINK, "EMLINK"),
    (libc::EMSGSIZE, "EMSGSIZE"),
    (libc::EMULTIHOP, "EMULTIHOP"),
    (libc::ENAMETOOLONG, "ENAMETOOLONG"),
    (libc::ENAVAIL, "ENAVAIL"),
    (libc::ENETDOWN, "ENETDOWN"),
    (libc::ENETRESET, "ENETRESET"),
    (libc::ENETUNREACH, "ENETUNREACH"),
    (libc::ENFILE, "ENFILE"),
    (libc::ENOANO, "ENOANO"),
    (libc::ENOBUFS, "ENOBUFS"),
    (libc::ENOCSI, "ENOCSI"),
    (libc::ENODATA, "ENODATA"),
    (libc::ENODEV, "ENODEV"),
    (libc::ENOENT, "ENOENT"),
    (libc::ENOEXEC, "ENOEXEC"),
    (libc::ENOKEY, "ENOKEY"),
    (libc::ENOLCK, "ENOLCK"),
    (libc::ENOLINK, "ENOLINK"),
    (libc::ENOMEDIUM, "ENOMEDIUM"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::ENOMSG, "ENOMSG"),
    (libc::ENONET, "ENONET"),
    (libc::ENOPKG, "ENOPKG"),
    (libc::ENOPROTOOPT, "ENOPROTOOPT"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::ENOSR, "ENOSR"),
    (libc::ENOSTR, "ENOSTR"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::ENOTBLK, "ENOTBLK"),
    (libc::ENOTCONN, "ENOTCONN"),
    (libc::ENOTDIR, "ENOTDIR"),
    (libc::ENOTEMPTY, "ENOTEMPTY"),
    (libc::ENOTNAM, "ENOTNAM"),
    (libc::ENOTRECOVERABLE, "ENOTRECOVERABLE"),
    (libc::ENOTSOCK, "ENOTSOCK"),
    (libc::ENOTSUP, "ENOTSUP"),
    (libc::ENOTTY, "ENOTTY"),
    (libc::ENOTUNIQ, "ENOTUNIQ"),
    (libc::ENXIO, "ENXIO"),
    (libc::EOVERFLOW, "EOVERFLOW"),
    (libc::EOWNERDEAD, "EOWNERDEAD"),
    (libc::EPERM, "EPERM"),
    (libc::EPFNOSUPPORT, "EPFNOSUPPORT"),
    (libc::EPIPE, "EPIPE"),
    (libc::EPROTO, "EPROTO"),
    (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
    (libc::EPROTOTYPE, "EPROTOTYPE"),
    (libc::ERANGE, "ERANGE"),
    (libc::EREMCHG, "EREMCHG"),
    (libc::EREMOTE, "EREMOTE"),
    (libc::EREMOTEIO, "EREMOTEIO"),
    (libc::ERESTART, "ERESTART"),
    (libc::ERFKILL, "ERFKILL"),
    (libc::EROFS, "EROFS"),
    (libc::ESHUTDOWN, "ESHUTDOWN"),
    (libc::ESOCKTNOSUPPORT, "ESOCKTNOSUPPORT"),
    (libc::ESPIPE, "ESPIPE"),
    (libc::ESRCH, "ESRCH"),
    (libc::ESRMNT, "ESRMNT"),
    (libc::ESTALE, "ESTALE"),
    (libc::ESTRPIPE, "ESTRPIPE"),
    (libc::ETIME, "ETIME"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::ETOOMANYREFS, "ETOOMANYREFS"),
    (libc::ETXTBSY, "ETXTBSY"),
    (libc::EUCLEAN, "EUCLEAN"),
    (libc::EUNATCH, "EUNATCH"),
    (libc::EUSERS, "EUSERS"),
    (libc::EXDEV, "EXDEV"),
    (libc::EXFULL, "EXFULL"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(name(libc::ENOENT), "ENOENT");
        assert_eq!(name(libc::EAGAIN), "EAGAIN");
        assert_eq!(name(0), "");
        assert_eq!(name(100_000), "");
        assert_eq!(number("EINVAL"), Some(libc::EINVAL));
        assert_eq!(number("EWOULDBLOCK"), None);
        assert_eq!(number(""), None);
        for (errno, text) in NAMES {
            assert_eq!(number(text), Some(*errno));
        }
    }
}
