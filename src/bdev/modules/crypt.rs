//! AES-XTS over another device: what lies below is ciphertext.
//!
//! The data unit is one block and its tweak the block's number, little-endian, as in SPDK's crypto module and, for blocks of
//! 512 bytes, dm-crypt's `aes-xts-plain64`. A write is encrypted into a buffer of the module's own, because the caller's
//! data is shared and must not change; a read is decrypted in place.
//!
//! The cipher is that of the crates `aes` (with the processor's AES instructions where it has them) and `xts-mode`. XTS keeps
//! data from being read, not from being changed: it has no authentication.

use std::fmt;
use std::path::{Path, PathBuf};

use aes::cipher::consts::U16;
use aes::cipher::{BlockSizeUser, KeyInit};
use aes::{Aes128, Aes256};
use xts_mode::{Xts128, get_tweak_default};

use super::spec::{Bases, Kind, Plan, quoted, spec_over};
use crate::bdev::{Access, Bdev, Channel, Descriptor, Done, Error, Geometry, Io, Op, Result, Submit};
use crate::sys::dma::{DmaBuf, DmaPool};

pub(super) const KIND: Kind = Kind::new(
    "crypt",
    "crypt:key_file=PATH(SPEC)",
    "AES-XTS over another, with a key of 32 or 64 raw bytes (feature `crypt`)",
    Bases::One,
    |args| {
        let path = args.get("key_file");
        let path =
            path.ok_or_else(|| args.missing("name the file with the key, such as key_file=disk.key"))?;
        let key = CryptKey::from_file(Path::new(path.text()))?;
        // Wherever the program stands when the device is written down.
        let file = std::path::absolute(path.text()).ok();
        Ok(Plan::over_one(move |base| Ok(Crypt { key_file: file, ..Crypt::over(base, key)? })))
    },
);

/// The most that is encrypted at once: the cipher holds the core for so long, some 50 µs.
const PIECE_BYTES: u32 = 64 << 10;

/// What one core's encrypted copies may take, beyond which writes wait for each other.
const COPIES_BYTES: usize = 64 << 20;

/// A device whose blocks are encrypted on the one below.
///
/// ```
/// use reactor::bdev::{self, Access, modules::{Crypt, CryptKey}};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let base = bdev::open("ram:1M", Access::ReadWrite).await?;
/// let key = CryptKey::from_bytes(&std::array::from_fn::<u8, 64, _>(|i| i as u8))?; // AES-256: two halves that differ
/// bdev::register("secret0", Crypt::over(base, key)?)?;
/// # bdev::unregister("secret0")?;
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Crypt {
    base: Descriptor,
    key: CryptKey,
    /// Where the key came from, if it was a file.
    key_file: Option<PathBuf>,
}

/// A key for [`Crypt`]: 32 bytes for AES-128, 64 for AES-256, whose second half encrypts the tweak.
///
/// Its `Debug` form does not show it, and its memory is cleared when it is dropped.
#[derive(Clone)]
pub struct CryptKey(Bits);

#[derive(Clone)]
enum Bits {
    Aes128(zeroize::Zeroizing<[u8; 32]>),
    Aes256(zeroize::Zeroizing<[u8; 64]>),
}

impl CryptKey {
    /// Takes a key of 32 or 64 bytes.
    ///
    /// # Errors
    /// [`Error::BadKey`] if it has another length, or two halves that are the same, which XTS forbids (IEEE 1619, FIPS 140 IG
    /// C.I).
    pub fn from_bytes(key: &[u8]) -> Result<Self> {
        let (data, tweak) = key.split_at(key.len() / 2);
        if data == tweak && !key.is_empty() {
            return Err(Error::BadKey {
                reason: "its halves are the same: make it of random bytes".to_owned(),
            });
        }
        let mut bits = match key.len() {
            32 => Bits::Aes128(zeroize::Zeroizing::new([0; 32])),
            64 => Bits::Aes256(zeroize::Zeroizing::new([0; 64])),
            len => {
                let reason = format!("it has {len} bytes: 32 make AES-128, 64 make AES-256");
                return Err(Error::BadKey { reason });
            }
        };
        match &mut bits {
            Bits::Aes128(bytes) => bytes.copy_from_slice(key),
            Bits::Aes256(bytes) => bytes.copy_from_slice(key),
        }
        Ok(Self(bits))
    }

    /// Reads a key from a file of 32 or 64 raw bytes, such as `head -c 64 /dev/urandom` makes.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), and [`Error::Os`] if the file cannot be read.
    pub fn from_file(path: &Path) -> Result<Self> {
        let os = |source| Error::Os { context: format!("cannot read the key {}", path.display()), source };
        Self::from_bytes(&zeroize::Zeroizing::new(std::fs::read(path).map_err(os)?))
    }

    fn cipher(&self) -> Cipher {
        /// The two ciphers of a key: the first half is for data, the second for tweaks.
        fn halves<C: KeyInit + BlockSizeUser<BlockSize = U16>>(key: &[u8]) -> Xts128<C> {
            let (data, tweak) = key.split_at(key.len() / 2);
            let cipher = |half| C::new_from_slice(half).expect("half of a key of the cipher's length");
            Xts128::new(cipher(data), cipher(tweak))
        }
        match &self.0 {
            Bits::Aes128(key) => Cipher::Aes128(halves(&key[..])),
            Bits::Aes256(key) => Cipher::Aes256(halves(&key[..])),
        }
    }
}

impl fmt::Debug for CryptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Bits::Aes128(_) => "CryptKey(AES-128)",
            Bits::Aes256(_) => "CryptKey(AES-256)",
        })
    }
}

impl Crypt {
    /// Encrypts what is written to `base`, with `key`.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] if its blocks are shorter than the cipher's, 16 bytes, or have protection information within, which would
    /// be encrypted. Separate protection information is made of what is encrypted.
    pub fn over(base: Descriptor, key: CryptKey) -> Result<Self> {
        if base.geometry().metadata_within().is_some_and(|metadata| metadata.protection.is_some()) {
            let reason = format!(
                "protection information within the blocks of {} would be encrypted: take a device where it is separate",
                base.name()
            );
            return Err(Error::BadGeometry { reason });
        }
        let size = base.geometry().block_size;
        if size < 16 {
            return Err(Error::BadGeometry {
                reason: format!("blocks of {size} bytes cannot be encrypted: XTS takes 16"),
            });
        }
        Ok(Self { base, key, key_file: None })
    }
}

impl Bdev for Crypt {
    type Channel = CryptChannel;

    fn module(&self) -> &'static str {
        "crypt"
    }

    fn geometry(&self) -> Geometry {
        let base = self.base.geometry();
        let piece = (PIECE_BYTES / base.block_size).max(1);
        // Metadata would not be brought along: a write goes on as another one.
        let base = base.with_max_segments(1).with_metadata(None);
        base.with_max_io_blocks(if base.max_io_blocks == 0 { piece } else { base.max_io_blocks.min(piece) })
    }

    /// What would bring plaintext or other blocks' ciphertext to the device is left to the layer, which makes it of reads and
    /// writes.
    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::Read | Op::Write) || matches!(op, Op::Flush | Op::Unmap) && self.base.supports(op)
    }

    fn opening(&self, access: Access) -> Result<()> {
        self.base.allows(access)
    }

    fn bases(&self) -> Vec<Descriptor> {
        vec![self.base.clone()]
    }

    fn spec(&self) -> Option<String> {
        let file = quoted(self.key_file.as_deref()?.to_str()?);
        spec_over(format!("crypt:key_file={file}"), [&self.base])
    }

    fn channel(&self, _access: Access) -> Result<CryptChannel> {
        let base = self.base.channel()?;
        let block_size = base.geometry().block_size as usize;
        Ok(CryptChannel {
            base,
            cipher: self.key.cipher(),
            copies: DmaPool::with_limit(COPIES_BYTES),
            block_size,
        })
    }
}

/// A core's way through the cipher.
pub struct CryptChannel {
    base: Channel,
    cipher: Cipher,
    /// Apart from the pool that callers draw from: a write that waits for its copy never waits for other writes' data.
    copies: DmaPool,
    block_size: usize,
}

impl Submit for CryptChannel {
    async fn submit(&self, mut io: Io) -> Done {
        match io.op() {
            Op::Read => {
                let lba = io.lba();
                let (result, mut io) = self.base.submit(io).await.into_io();
                if result.is_ok() {
                    self.cipher.decrypt(&mut io.read_buf(), self.block_size, lba);
                }
                io.done(result)
            }
            Op::Write => {
                let result = match self.encrypted(&mut io).await {
                    Ok(copy) => self.base.write(io.lba(), copy).await,
                    Err(e) => Err(e),
                };
                io.done(result)
            }
            _ => self.base.submit(io).await,
        }
    }
}

impl CryptChannel {
    async fn encrypted(&self, io: &mut Io) -> Result<DmaBuf> {
        let data = io.take_data();
        let mut copy = self.copies.alloc(data.len()).await?;
        copy.copy_from_slice(&data);
        self.cipher.encrypt(&mut copy, self.block_size, io.lba());
        Ok(copy)
    }
}

impl fmt::Debug for CryptChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CryptChannel").field("base", &self.base).finish_non_exhaustive()
    }
}

#[expect(clippy::large_enum_variant, reason = "there is one per channel, and it stays where it is")]
enum Cipher {
    Aes128(Xts128<Aes128>),
    Aes256(Xts128<Aes256>),
}

impl Cipher {
    fn encrypt(&self, data: &mut [u8], block_size: usize, lba: u64) {
        match self {
            Self::Aes128(xts) => xts.encrypt_area(data, block_size, lba.into(), get_tweak_default),
            Self::Aes256(xts) => xts.encrypt_area(data, block_size, lba.into(), get_tweak_default),
        }
    }

    fn decrypt(&self, data: &mut [u8], block_size: usize, lba: u64) {
        match self {
            Self::Aes128(xts) => xts.decrypt_area(data, block_size, lba.into(), get_tweak_default),
            Self::Aes256(xts) => xts.decrypt_area(data, block_size, lba.into(), get_tweak_default),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::LocalExecutor;
    use crate::bdev::{conformance, modules::Ram, open_private};

    fn key<const N: usize>() -> CryptKey {
        CryptKey::from_bytes(&std::array::from_fn::<u8, N, _>(|i| i as u8)).unwrap()
    }

    fn over(base: &Descriptor, key: CryptKey) -> Descriptor {
        open_private("crypt", Crypt::over(base.clone(), key).unwrap(), Access::ReadWrite).unwrap()
    }

    fn ram() -> Descriptor {
        open_private("base", Ram::new(16 << 20).unwrap(), Access::ReadWrite).unwrap()
    }

    #[test]
    fn conforms() {
        LocalExecutor::new().unwrap().block_on(async {
            conformance::check(&over(&ram(), key::<32>())).await;
            conformance::check(&over(&ram(), key::<64>())).await;
        });
    }

    /// IEEE 1619-2018, Annex B, vectors 4 (AES-128, data unit 0) and 10 (AES-256, data unit 0xff): the beginnings of
    /// their ciphertexts.
    #[test]
    fn blocks_are_encrypted_as_the_standard_says() {
        let e = hex("2718281828459045235360287471352662497757247093699959574966967627");
        let pi = hex("3141592653589793238462643383279502884197169399375105820974944592");
        let key_128 = CryptKey::from_bytes(&[&e[..16], &pi[..16]].concat()).unwrap();
        let key_256 = CryptKey::from_bytes(&[&e[..], &pi[..]].concat()).unwrap();
        let cases = [
            (key_128, 0u64, "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c"),
            (key_256, 0xff, "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b"),
        ];
        LocalExecutor::new().unwrap().block_on(async {
            for (key, lba, expected) in cases {
                let base = ram();
                let channel = over(&base, key).channel().unwrap();
                let mut plain = channel.try_alloc(512).unwrap();
                for (i, byte) in plain.iter_mut().enumerate() {
                    *byte = i as u8;
                }
                channel.write(lba, plain).await.unwrap();
                let below = base.channel().unwrap().read(lba..lba + 1).await.unwrap();
                assert_eq!(&below[..32], &hex(expected)[..], "block {lba}");
            }
        });
    }

    #[test]
    fn the_callers_data_stays_as_it_is() {
        LocalExecutor::new().unwrap().block_on(async {
            let channel = over(&ram(), key::<64>()).channel().unwrap();
            let mut data = channel.try_alloc(4096).unwrap();
            data.fill(7);
            let data = data.freeze();
            channel.write(3, data.clone()).await.unwrap();
            assert!(data.iter().all(|byte| *byte == 7));
        });
    }

    /// The layer makes them of writes, so that they come out as zeroes above and not below.
    #[test]
    fn zeroes_are_encrypted_too() {
        LocalExecutor::new().unwrap().block_on(async {
            let base = ram();
            let channel = over(&base, key::<64>()).channel().unwrap();
            channel.write_zeroes(0..9).await.unwrap();
            assert!(channel.read(0..9).await.unwrap().iter().all(|byte| *byte == 0));
            let below = base.channel().unwrap().read(0..9).await.unwrap();
            assert!(below.chunks(512).all(|block| block.iter().any(|byte| *byte != 0)));
        });
    }

    #[test]
    fn bad_keys_are_refused_and_good_ones_are_not_shown() {
        for bad in [&[][..], &[1; 31], &[1; 48], &[1; 128], &[1; 32], &[1; 64]] {
            assert!(matches!(CryptKey::from_bytes(bad), Err(Error::BadKey { .. })), "{} bytes", bad.len());
        }
        assert_eq!(format!("{:?}", key::<64>()), "CryptKey(AES-256)");
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }
}
