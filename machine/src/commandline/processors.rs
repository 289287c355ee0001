//! `-cpu` and `-smp`.

use super::config::{CpuConfig, CpuProperty, Topology};
use super::draft::{Draft, Flow, Handled};
use super::error::Reason;
use super::suboptions::Suboptions;

/// How many processors the machine pc can have.
pub(crate) const MOST_CPUS: u64 = 8;

pub(super) fn cpu(draft: &mut Draft<'_>, argument: &str) -> Handled {
    if matches!(argument, "help" | "?") {
        return Ok(Flow::Print(draft.vocabulary.cpu_help()));
    }
    let mut elements = argument.split(',');
    let model = elements.next().unwrap_or_default();
    if model == "host" {
        return Err(Reason::refused("the host's processor is out of reach without KVM; '-cpu max' has every feature"));
    }
    // QEMU also takes the full type name.
    let model = model.strip_suffix("-x86_64-cpu").unwrap_or(model);
    if !draft.vocabulary.cpu_models.iter().any(|(name, _)| name == model) {
        return Err(Reason::UnknownName { kind: "CPU model", name: model.to_owned(), option: "-cpu" });
    }
    let properties = elements.map(property).collect::<Result<Vec<_>, _>>()?;
    draft.config.cpu = CpuConfig { model: model.to_owned(), properties };
    Ok(Flow::Next)
}

fn property(element: &str) -> Result<CpuProperty, Reason> {
    let property = match (element.strip_prefix('+'), element.strip_prefix('-'), element.split_once('=')) {
        (Some(name), ..) => CpuProperty::Plus(name.to_owned()),
        (_, Some(name), _) => CpuProperty::Minus(name.to_owned()),
        (.., Some((name, value))) => CpuProperty::Set(name.to_owned(), value.to_owned()),
        _ => CpuProperty::Set(element.to_owned(), "on".to_owned()),
    };
    match &property {
        CpuProperty::Plus(name) | CpuProperty::Minus(name) | CpuProperty::Set(name, _) if name.is_empty() => {
            Err(Reason::Expected("MODEL[,+feature][,-feature][,feature=on|off]"))
        }
        _ => Ok(property),
    }
}

pub(super) fn smp(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, Some("cpus"));
    let mut take = |key: &'static str| match options.number(key)? {
        Some(0) => Err(Reason::refused(format!("{key} must be greater than zero"))),
        other => Ok(other),
    };
    let asked = Asked {
        cpus: take("cpus")?,
        maxcpus: take("maxcpus")?,
        sockets: take("sockets")?,
        dies: take("dies")?,
        cores: take("cores")?,
        threads: take("threads")?,
    };
    if take("clusters")?.is_some_and(|clusters| clusters != 1) {
        return Err(Reason::refused("the machine pc has no clusters"));
    }
    options.finish()?;
    draft.config.smp = asked.topology()?;
    Ok(Flow::Next)
}

/// A topology with gaps.
struct Asked {
    cpus: Option<u64>,
    maxcpus: Option<u64>,
    sockets: Option<u64>,
    dies: Option<u64>,
    cores: Option<u64>,
    threads: Option<u64>,
}

impl Asked {
    /// Fills the gaps as QEMU's machines since 6.2 do: what is not said goes to cores, then sockets, then threads.
    fn topology(&self) -> Result<Topology, Reason> {
        let in_range = |count: u64| {
            let reason = || format!("invalid SMP CPUs {count}: the machine pc supports 1 to {MOST_CPUS}");
            if (1..=MOST_CPUS).contains(&count) { Ok(count) } else { Err(Reason::refused(reason())) }
        };
        self.maxcpus.or(self.cpus).map(in_range).transpose()?;
        let dies = self.dies.unwrap_or(1);
        let (mut sockets, mut cores, mut threads) = (self.sockets, self.cores, self.threads);
        if let Some(total) = self.maxcpus.or(self.cpus) {
            let share = |a: u64, b: u64| (total / a.saturating_mul(b).saturating_mul(dies)).max(1);
            if cores.is_none() {
                let (s, t) = (*sockets.get_or_insert(1), *threads.get_or_insert(1));
                cores = Some(share(s, t));
            } else if sockets.is_none() {
                sockets = Some(share(cores.unwrap_or(1), *threads.get_or_insert(1)));
            }
            threads = threads.or(Some(share(sockets.unwrap_or(1), cores.unwrap_or(1))));
        }
        let (sockets, cores, threads) = (sockets.unwrap_or(1), cores.unwrap_or(1), threads.unwrap_or(1));
        let product = sockets.saturating_mul(dies).saturating_mul(cores).saturating_mul(threads);
        let maxcpus = self.maxcpus.or(self.cpus).unwrap_or(product);
        let cpus = self.cpus.unwrap_or(maxcpus);
        if product != maxcpus {
            return Err(Reason::refused(format!(
                "invalid CPU topology: sockets ({sockets}) * dies ({dies}) * cores ({cores}) * threads ({threads}) is not \
                 maxcpus ({maxcpus})"
            )));
        }
        if cpus > maxcpus {
            return Err(Reason::refused(format!("invalid CPU topology: cpus ({cpus}) exceed maxcpus ({maxcpus})")));
        }
        in_range(maxcpus)?;
        // Every factor divides maxcpus, which is in range.
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Topology {
            cpus: small(cpus),
            maxcpus: small(maxcpus),
            sockets: small(sockets),
            dies: small(dies),
            cores: small(cores),
            threads: small(threads),
        })
    }
}
