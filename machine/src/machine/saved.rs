//! The machine's state but for RAM: saving and loading it.

use super::{Machine, Turn};
use crate::block::queue::SavedQueue;
use lockstep_cpu::Vcpu;
use lockstep_fabric::{Actions, StateError};
use serde::Deserialize;

impl Machine {
    /// The state but for RAM, as JSON.
    pub fn save_state(&self) -> Result<serde_json::Value, StateError> {
        let malformed = |e: serde_json::Error| StateError::Malformed { what: "vcpu".into(), why: e.to_string() };
        Ok(serde_json::json!({
            "cpus": serde_json::to_value(&self.cpus).map_err(malformed)?,
            "turn": serde_json::to_value(self.turn).map_err(malformed)?,
            "actions": serde_json::to_value(self.actions).map_err(malformed)?,
            "asleep": self.asleep,
            "blocks": serde_json::to_value(self.blocks.save()).map_err(malformed)?,
            "parts": self.saved_parts()?,
            "bus": self.bus.save()?,
        }))
    }

    /// Loads what [`Machine::save_state`] gave, into a machine of the same parts.
    pub fn load_state(&mut self, from: &serde_json::Value) -> Result<(), StateError> {
        let part = |name: &str| from.get(name).ok_or_else(|| StateError::Missing { what: name.into() });
        let malformed =
            |what: &str, e: serde_json::Error| StateError::Malformed { what: what.into(), why: e.to_string() };
        let cpus = Vec::<Vcpu>::deserialize(part("cpus")?).map_err(|e| malformed("vcpu", e))?;
        let turn = Turn::deserialize(part("turn")?).map_err(|e| malformed("turn", e))?;
        if turn.cpu >= cpus.len() {
            return Err(StateError::Malformed { what: "turn".into(), why: "no such vCPU".into() });
        }
        let actions = Actions::deserialize(part("actions")?).map_err(|e| malformed("actions", e))?;
        let asleep = bool::deserialize(part("asleep")?).map_err(|e| malformed("sleep", e))?;
        let blocks = SavedQueue::deserialize(part("blocks")?).map_err(|e| malformed("block requests", e))?;
        self.match_parts(from)?;
        self.match_processors(cpus)?;
        self.bus.load(part("bus")?)?;
        self.blocks.load(blocks)?;
        self.turn = turn;
        self.actions = actions;
        self.asleep = asleep;
        for cpu in &mut self.cpus {
            cpu.refresh();
        }
        self.engine.drop_blocks(&mut self.bus);
        Ok(())
    }
}
