//! Several devices behind each other as one.

use super::members::Members;
use super::spec::{Bases, Kind, Plan, spec_over};
use crate::bdev::fan::Fans;
use crate::bdev::{Access, Bdev, Channel, Descriptor, Done, Error, Geometry, Io, Op, Result, Submit};

pub(super) const KIND: Kind =
    Kind::new("concat", "concat(SPEC,SPEC)", "several devices behind each other as one", Bases::Many, |_| {
        Ok(Plan::over(Concat::new))
    });

/// Several devices behind each other. An I/O that reaches over an end goes to both sides at a time.
///
/// It grows with the last of them. The others stay as they were: what lies behind them must not move.
#[derive(Debug)]
pub struct Concat {
    members: Members,
    /// Where each member begins.
    starts: Vec<u64>,
}

impl Concat {
    /// `members` in this order.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] if there are none, if their blocks differ in size or metadata, or have protection information within, or if they
    /// are too many to count.
    pub fn new(members: impl IntoIterator<Item = Descriptor>) -> Result<Self> {
        let members = Members::renumbered("concat", members)?;
        let mut end = 0_u64;
        let mut starts = Vec::new();
        for shape in members.shapes() {
            let too_large =
                || Error::BadGeometry { reason: "the devices of a concat exceed 2^64 blocks".to_owned() };
            starts.push(end);
            end = end.checked_add(shape.block_count).ok_or_else(too_large)?;
        }
        Ok(Self { members, starts })
    }
}

/// A core's ways to the members.
#[derive(Debug)]
pub struct ConcatChannel {
    /// Each with the block behind its last; that of the last member lies where the layer says.
    members: Vec<(Channel, u64)>,
    fans: Fans,
}

impl Bdev for Concat {
    type Channel = ConcatChannel;

    fn module(&self) -> &'static str {
        "concat"
    }

    fn geometry(&self) -> Geometry {
        let last = self.members.shapes().last().zip(self.starts.last());
        self.members.geometry(last.map_or(0, |(shape, start)| start.saturating_add(shape.block_count)))
    }

    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::Read | Op::Write | Op::Flush | Op::WriteZeroes | Op::Unmap | Op::Reset)
            && self.members.supports(op)
    }

    fn bases(&self) -> Vec<Descriptor> {
        self.members.all().to_vec()
    }

    fn spec(&self) -> Option<String> {
        spec_over("concat", self.members.all())
    }

    fn channel(&self, _access: Access) -> Result<ConcatChannel> {
        let ends = self.starts[1..].iter().copied().chain([u64::MAX]);
        Ok(ConcatChannel {
            members: self.members.channels()?.into_iter().zip(ends).collect(),
            fans: Fans::default(),
        })
    }
}

impl Submit for ConcatChannel {
    async fn submit(&self, mut io: Io) -> Done {
        if io.blocks() == 0 {
            let mut fan = self.fans.carry(io);
            self.members.iter().for_each(|(member, _)| fan.add(member, 0, 0));
            return fan.await;
        }
        let range = io.range();
        let first = self.members.partition_point(|(_, end)| *end <= range.start);
        let mut start = if first == 0 { 0 } else { self.members[first - 1].1 };
        let (member, end) = &self.members[first];
        if range.end <= *end {
            io.set_lba(range.start - start);
            return member.submit(io).await;
        }
        let mut fan = self.fans.carry(io);
        let mut at = range.start;
        for (member, end) in &self.members[first..] {
            let until = range.end.min(*end);
            if at == until {
                break;
            }
            fan.add(member, at - start, until - at);
            (at, start) = (until, *end);
        }
        fan.await
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::LocalExecutor;
    use crate::bdev::modules::Ram;
    use crate::bdev::{conformance, open, open_private};

    #[test]
    fn conforms() {
        conformance::check_spec("concat(ram:1M,ram:512,ram:15M)");
    }

    #[test]
    fn blocks_lie_behind_each_other() {
        LocalExecutor::new().unwrap().block_on(async {
            let ram = |blocks: u64| {
                open_private("ram", Ram::new(blocks * 512).unwrap(), Access::ReadWrite).unwrap()
            };
            let members = [ram(3), ram(1), ram(5)];
            let concat = Concat::new(members.clone()).unwrap();
            let disk = open_private("concat", concat, Access::ReadWrite).unwrap();
            let channel = disk.channel().unwrap();
            for from in 0..9 {
                for to in from + 1..=9 {
                    let mut data = channel.try_alloc((to - from) as usize * 512).unwrap();
                    for (block, lba) in data.chunks_mut(512).zip(from..) {
                        block.fill((16 * from + lba) as u8);
                    }
                    channel.write(from, data).await.unwrap();
                    let all = channel.read(from..to).await.unwrap();
                    assert!(
                        all.chunks(512).zip(from..).all(|(block, lba)| block[511] == (16 * from + lba) as u8)
                    );
                    for (lba, (member, at)) in
                        [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (2, 2), (2, 3), (2, 4)]
                            .into_iter()
                            .enumerate()
                    {
                        let member: &Descriptor = &members[member];
                        let block = member.channel().unwrap().read(at..at + 1).await.unwrap();
                        let lba = lba as u64;
                        assert!(!(from..to).contains(&lba) || block[0] == (16 * from + lba) as u8, "{lba}");
                    }
                }
            }
        });
    }

    /// The part that failed is named by its error, and the buffer comes back whole.
    #[test]
    fn a_member_that_fails_fails_the_whole() {
        LocalExecutor::new().unwrap().block_on(async {
            let disk =
                open("concat(ram:4K,error:all=media(ram:4K),ram:4K)", Access::ReadWrite).await.unwrap();
            let channel = disk.channel().unwrap();
            let e = channel.read_into(7..17, channel.try_alloc(10 * 512).unwrap()).await.unwrap_err();
            assert!(matches!(*e.error, Error::Media));
            assert_eq!(e.buf.map(|buf| buf.len()), Some(10 * 512));
            assert!(matches!(channel.flush().await, Err(Error::Media)));
            channel.read(0..8).await.unwrap();
        });
    }
}
